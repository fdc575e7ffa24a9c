//! What a run reads and where it writes.
//!
//! An input is a CWL value, or names data instead of holding it: files of a dataset, an object in a
//! storage offer, or an output of an earlier run. None of them is a URL, so nothing here can lead a
//! stager astray. The JSON for people is that of `oc.pipeline.v1.RunRequest`; these are the checked
//! forms of its parts. This module knows no provider and fetches nothing.

mod area;
mod input;
mod polygons;
mod query;

pub use area::{Area, BoundingBox, BoxError};
pub use input::{Destination, Input, InputError, ListingRef, ObjectRef, Role};
pub use polygons::{Polygons, PolygonsError};
pub use query::{Comparison, DatasetQuery, Operator, QueryError, TimeRange};
