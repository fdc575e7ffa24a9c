//! Expressions in strings: parameter references, which are looked up here, and JavaScript, which is
//! handed to an [`Evaluator`] (CWL v1.2, section 3.5 "Expressions").

mod context;
mod evaluator;
mod quickjs;
mod reference;
mod scan;

pub use evaluator::{EvaluationError, Evaluator, Script};
pub use quickjs::{QuickJs, ScriptLimits};

pub(crate) use context::{Context, Scripts, dump};
pub(crate) use reference::{ParameterReference, Root, Segment};
pub(crate) use scan::{Piece, excerpt, is_dynamic, scan, upgrade_escapes};
