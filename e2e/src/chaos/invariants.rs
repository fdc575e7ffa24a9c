//! The invariants of ARCHITECTURE.md, each by its name: what was found when it did not hold, from both organisations'
//! own data.

pub(super) mod authority;
pub(super) mod books;
pub(super) mod capacity;
pub(super) mod effects;
pub(super) mod jobs;
pub(super) mod silence;

/// Whether one of them held; otherwise what was found.
pub(super) type Held = Result<(), String>;

/// Holds when nothing was found.
fn none_of(found: Vec<String>) -> Held {
    match found.is_empty() {
        true => Ok(()),
        false => Err(found.join("\n")),
    }
}
