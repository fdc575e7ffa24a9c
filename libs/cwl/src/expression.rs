//! Expressions in strings: parameter references, which are looked up here, and JavaScript, which is
//! handed to an [`Evaluator`](evaluator::Evaluator) (CWL v1.2, section 3.5 "Expressions").

mod reference;
mod scan;

pub(crate) use reference::{ParameterReference, Root, Segment};
pub(crate) use scan::{Piece, is_dynamic, scan, upgrade_escapes};
