//! The words every other crate shares: ids, the clock, the table of error kinds, pages and revisions.
//!
//! It does no I/O and knows no async runtime, no transport and no store.

mod clock;
mod code;
mod confusable;
mod digest;
mod error;
mod id;
mod log_room;
mod name;
mod page;
mod quantity;
mod text;

pub use clock::{Clock, FixedClock, SystemClock};
pub use code::Code;
pub use confusable::{mixed_word, skeleton};
pub use digest::{Digest, ParseDigestError};
pub use error::{Classify, Kind};
pub use id::{
    AttemptId, FragmentId, GrantId, Id, IdKind, LeaseId, OrgId, ParseIdError, ReservationId, RunId,
};
pub use log_room::{LogRoom, Taken};
pub use name::{Name, NameError, ObjectKey};
pub use page::{Page, PageRequest, PageToken, PageTokenError};
pub use quantity::{Money, ParseMoneyError, Revision};
pub use text::{DisplayName, DisplayNameError, is_hidden, visible};
