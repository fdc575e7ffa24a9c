//! Real nodes for tests: started as processes, joined to networks, waited for by predicate, killed and started
//! again. It knows the command line and the public API, nothing of how a node is built; only tests depend on it.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot start its nodes has failed"
)]
#![expect(
    clippy::print_stderr,
    reason = "tests show the log of a node that failed"
)]

mod node;
mod pair;
mod wait;

pub use node::{Node, program};
pub use pair::Pair;
pub use wait::until;
