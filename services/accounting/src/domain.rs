//! The rules of the books: what is recorded, what is agreed on, what it sums up to. It knows no transport and
//! no driver; partners and keys come through [`ports`](crate::ports).

mod books;
mod cause;
mod consume;
mod correct;
mod error;
mod export;
mod ledger;
mod model;
mod month;
mod objections;
mod observation;
mod provide;
mod reach;
mod report;
mod restore;
mod service;
mod sums;

pub use books::{Books, Side};
pub use cause::Cause;
pub use consume::Settled;
pub use correct::Changes;
pub use error::AccountingError;
pub use export::{Export, Format};
pub use ledger::{Ledger, LedgerError};
pub use month::{Month, ParseMonthError};
pub use observation::Observation;
pub use provide::Head;
pub use reach::Reach;
pub use report::{BooksState, Listed};
pub use service::Accounting;
pub use sums::{Direction, Sum, SumBy, Totals};
