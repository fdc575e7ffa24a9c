//! Names and object keys that are safe to put into a path, a URL and a log line.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// Why a name or key is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing between the quotes.
    #[error("a name must not be empty")]
    Empty,
    /// Longer than the limit, in bytes.
    #[error("a name may have {limit} characters, this one has {length}")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
        /// What was given, in bytes.
        length: usize,
    },
    /// A character outside the allowed set.
    #[error("`{}` may not stand in a name: use letters, digits, `.`, `_` and `-`", .character.escape_debug())]
    Character {
        /// The first offender.
        character: char,
    },
    /// `.`, `..`, or a leading dot or dash.
    #[error("a name must begin with a letter or a digit")]
    Start,
    /// A key with an empty segment: a leading, trailing or double slash.
    #[error("a key must not begin or end with `/`, nor hold `//`")]
    Segment,
}

fn check_segment(text: &str) -> Result<(), NameError> {
    let first = text.chars().next().ok_or(NameError::Empty)?;
    let bad = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if let Some(character) = text.chars().find(bad) {
        return Err(NameError::Character { character });
    }
    if !first.is_ascii_alphanumeric() && first != '_' {
        return Err(NameError::Start);
    }
    Ok(())
}

/// A short name: 1 to 128 of `A-Z a-z 0-9 . _ -`, beginning with a letter, a digit or `_`.
///
/// `..` and hidden files cannot be spelled in it, so it is safe as one path segment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// Longest name, in bytes.
    pub const LIMIT: usize = 128;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > Self::LIMIT {
            return Err(NameError::TooLong {
                limit: Self::LIMIT,
                length: text.len(),
            });
        }
        check_segment(text)?;
        Ok(Self(text.to_owned()))
    }
}

/// A key of an object: names joined by `/`, at most 1,024 bytes. `../` cannot be spelled in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// Longest key, in bytes.
    pub const LIMIT: usize = 1024;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// This key followed by `/` and `rest`.
    ///
    /// # Errors
    /// When `rest` is not a key or the whole grows too long.
    pub fn join(&self, rest: &str) -> Result<Self, NameError> {
        format!("{}/{rest}", self.0).parse()
    }

    /// True when this key lies below `prefix`, segment by segment: `a/bc` is not below `a/b`.
    pub fn is_below(&self, prefix: &ObjectKey) -> bool {
        self.0
            .strip_prefix(prefix.as_str())
            .is_some_and(|rest| rest.starts_with('/'))
    }
}

impl FromStr for ObjectKey {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > Self::LIMIT {
            return Err(NameError::TooLong {
                limit: Self::LIMIT,
                length: text.len(),
            });
        }
        for segment in text.split('/') {
            check_segment(segment).map_err(|error| match error {
                NameError::Empty => NameError::Segment,
                other => other,
            })?;
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for ObjectKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_climbs_is_not_a_key() {
        for text in [
            "../a",
            "a/../b",
            "a/..",
            "/a",
            "a/",
            "a//b",
            ".",
            "a/.hidden",
            "a\\b",
            "a\0b",
            "",
        ] {
            assert!(text.parse::<ObjectKey>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_key_below_a_prefix_is_told_from_one_that_only_begins_alike() {
        let prefix: ObjectKey = "runs/a".parse().unwrap();
        assert!(
            "runs/a/x.tif"
                .parse::<ObjectKey>()
                .unwrap()
                .is_below(&prefix)
        );
        assert!(
            !"runs/ab/x.tif"
                .parse::<ObjectKey>()
                .unwrap()
                .is_below(&prefix)
        );
        assert!(!prefix.is_below(&prefix));
    }

    #[test]
    fn a_character_that_does_not_show_is_spelled_out() {
        let refused = "ev\u{1b}[31mil".parse::<Name>().unwrap_err().to_string();
        assert!(refused.contains("`\\u{1b}`"), "{refused}");
    }

    #[test]
    fn a_name_is_one_segment() {
        assert!("a/b".parse::<Name>().is_err());
        assert!("S2A_28QCH-2020.tif".parse::<Name>().is_ok());
        assert!("-rf".parse::<Name>().is_err());
    }
}
