//! Paging: a token names the last key seen, so a page never skips or repeats what others write meanwhile.

use serde::{Deserialize, Serialize};

/// A request for one page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// How many entries are wanted; 0 stands for [`PageRequest::DEFAULT_SIZE`].
    pub size: u32,
    /// Where the last page ended.
    pub token: Option<PageToken>,
}

impl PageRequest {
    /// Entries a page when nothing is asked for.
    pub const DEFAULT_SIZE: u32 = 100;
    /// Most entries a page may have.
    pub const MAX_SIZE: u32 = 1000;

    /// The size within the limits.
    pub fn limit(&self) -> usize {
        match self.size {
            0 => Self::DEFAULT_SIZE as usize,
            size => size.min(Self::MAX_SIZE) as usize,
        }
    }
}

/// A token that is not one of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the page token is damaged: start again without one")]
pub struct PageTokenError;

/// Opaque to callers: the hex of the last key of the page before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageToken(String);

impl PageToken {
    /// The token for a page that ended with `key`.
    pub fn after(key: &str) -> Self {
        Self(key.bytes().map(|b| format!("{b:02x}")).collect())
    }

    /// Takes a token back from a caller; an empty text is no token.
    ///
    /// # Errors
    /// When the text is not a token.
    pub fn parse(text: &str) -> Result<Option<Self>, PageTokenError> {
        if text.is_empty() {
            return Ok(None);
        }
        let token = Self(text.to_owned());
        token.key().map(|_| Some(token))
    }

    /// The key the page before ended with.
    ///
    /// # Errors
    /// When the text is not a token.
    pub fn key(&self) -> Result<String, PageTokenError> {
        if !self.0.len().is_multiple_of(2) || !self.0.is_ascii() {
            return Err(PageTokenError);
        }
        let bytes = (0..self.0.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&self.0[at..at + 2], 16).map_err(|_| PageTokenError))
            .collect::<Result<Vec<u8>, _>>()?;
        String::from_utf8(bytes).map_err(|_| PageTokenError)
    }

    /// The text to hand out.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries, in key order.
    pub items: Vec<T>,
    /// Where to go on; none on the last page.
    pub next: Option<PageToken>,
}

impl<T> Page<T> {
    /// The same page with each entry converted.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(f).collect(),
            next: self.next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_gives_its_key_back() {
        let token = PageToken::after("a/ü");
        assert_eq!(token.key().unwrap(), "a/ü");
        assert_eq!(PageToken::parse(token.as_str()), Ok(Some(token)));
    }

    #[test]
    fn a_damaged_token_is_refused() {
        for text in ["x", "zz", "6", "ff", "6é"] {
            assert_eq!(PageToken::parse(text), Err(PageTokenError), "{text}");
        }
    }
}
