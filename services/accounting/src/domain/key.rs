//! Which books: those of a grant, or those of our own work.

use std::fmt;
use std::str::FromStr;

use oc_kernel::{Classify, GrantId, Kind};

/// Names books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BooksKey {
    /// Our own work on our own machines; nobody else has these books.
    Own,
    /// The work under a grant.
    Grant(GrantId),
}

impl BooksKey {
    /// The books of a record: those of its grant, or our own.
    pub fn of(grant: Option<GrantId>) -> Self {
        grant.map_or(BooksKey::Own, BooksKey::Grant)
    }

    /// The grant; none for our own books.
    pub fn grant(self) -> Option<GrantId> {
        match self {
            BooksKey::Own => None,
            BooksKey::Grant(id) => Some(id),
        }
    }
}

impl fmt::Display for BooksKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BooksKey::Own => f.write_str("own"),
            BooksKey::Grant(id) => id.fmt(f),
        }
    }
}

/// A text that names no books.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no books: write the id of a grant, or own")]
pub struct ParseBooksKeyError(String);

impl Classify for ParseBooksKeyError {
    fn kind(&self) -> Kind {
        Kind::Malformed
    }
}

impl FromStr for BooksKey {
    type Err = ParseBooksKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "own" {
            return Ok(BooksKey::Own);
        }
        text.parse()
            .map(BooksKey::Grant)
            .map_err(|_| ParseBooksKeyError(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_are_named_by_their_grant_or_own() {
        for key in [BooksKey::Own, BooksKey::Grant(GrantId::new())] {
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        assert!("Own".parse::<BooksKey>().is_err());
    }
}
