//! Datasets of images: what a dataset and an image may be, which images a question finds, and who holds
//! which of them for how long. No transport and no other service is known here.

mod dataset;
mod error;
mod filter;
mod geometry;
mod image;
mod index;
mod query;
mod reservation;
mod search;

pub(crate) use dataset::listing_id;
pub(crate) use dataset::{DATASETS, Dataset, State};
pub use error::DataError;
pub(crate) use filter::Filter;
pub(crate) use geometry::{Area, Geometry};
pub(crate) use image::{AssetFile, IMAGES, Image, parse as parse_image};
pub(crate) use index::{Found, Index, Summary};
pub(crate) use query::{Nearest, Query, Span, parse_interval};
pub(crate) use reservation::{Held, RESERVATIONS, Reservation, operation_key};
pub(crate) use search::{Cursor, Fields, Search, SortKey};
