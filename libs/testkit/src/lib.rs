//! Real nodes for tests: started as processes, joined to networks, waited for by predicate, killed and started
//! again; and links between them on which bytes are late, few, held or cut. It knows the command line and the
//! public API, nothing of how a node is built; only tests depend on it.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot start its nodes has failed"
)]
#![expect(
    clippy::print_stderr,
    reason = "tests show the log of a node that failed"
)]

mod link;
mod node;
mod pair;
mod wait;

pub use link::{Conditions, Link, Passage, Way};
pub use node::{Node, program};
pub use pair::Pair;
pub use wait::{until, within};
