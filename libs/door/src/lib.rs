//! The side of the door that a service sees: who we are, signatures, other organisations' keys, calls to a
//! partner and bytes from and to one.
//!
//! discovery holds the keys and the connections; this crate asks it. It knows the protos, the statements
//! and the channels between services, and no libp2p, no store and no rule of any domain.

mod accounts;
mod bulk;
mod door;
mod inbound;
mod partner;
mod price;
mod role;

pub use bulk::{BULK_TOKEN, BulkBody, BulkRole, LENGTH, SHA256};
pub use door::{Door, DoorError, Identity};
pub use inbound::{Caller, DoorAuthenticator, STATEMENT, caller};
pub use partner::{OUTBOUND, PARTNER, PURPOSE, ParsePurposeError, PartnerChannel, Purpose};
pub use price::{price, price_message};
pub use role::service_of;
