//! What reads bytes of strangers, each behind one function that may refuse them and may do nothing else: no panic, no
//! endless loop, no memory without bound, and nothing believed that was not signed.
//!
//! The gate replays the corpora and changes them a little; `cargo xtask nightly fuzz` lets libFuzzer search for hours.
#![expect(
    clippy::unwrap_used,
    reason = "a target that breaks its own rule has to end here: that is what is looked for"
)]

mod books;
mod chains;
mod documents;
mod envelopes;
mod expressions;
mod invitations;
mod macaroons;
mod stac;
mod world;

/// One reader of bytes.
pub struct Target {
    /// Its name, that of its folder below `corpus/`.
    pub name: &'static str,
    /// What it reads.
    pub about: &'static str,
    /// Reads; true when the bytes were accepted.
    pub take: fn(&[u8]) -> bool,
    /// Bytes that are accepted, with names: where the search begins.
    pub seeds: fn() -> Vec<(&'static str, Vec<u8>)>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target {
        name: "envelope",
        about: "statements that somebody signed, of any type",
        take: envelopes::take,
        seeds: envelopes::seeds,
    },
    Target {
        name: "delegation",
        about: "chains of delegations, each link signed by whom it claims to be from",
        take: chains::take,
        seeds: chains::seeds,
    },
    Target {
        name: "log",
        about: "exports of books with their heads, records and keys",
        take: books::take,
        seeds: books::seeds,
    },
    Target {
        name: "macaroon",
        about: "macaroons in their binary form",
        take: macaroons::take,
        seeds: macaroons::seeds,
    },
    Target {
        name: "document",
        about: "CWL documents and input objects, loaded, checked, cut and written again",
        take: documents::take,
        seeds: documents::seeds,
    },
    Target {
        name: "expression",
        about: "texts with expressions, in each place of a tool where one may stand",
        take: expressions::take,
        seeds: expressions::seeds,
    },
    Target {
        name: "stac",
        about: "searches over a small dataset, as JSON or, behind a `?`, as a query",
        take: stac::take,
        seeds: stac::seeds,
    },
    Target {
        name: "invitation",
        about: "invitations, whole or as the JSON inside",
        take: invitations::take,
        seeds: invitations::seeds,
    },
];

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
