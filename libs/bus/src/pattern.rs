//! Which types of events a subscription wants.

use std::fmt;
use std::str::FromStr;

/// A text that is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a pattern of event types: join words, `*` or a last `>` by dots")]
pub struct PatternError(String);

/// Words joined by dots; `*` stands for one word, a last `>` for all the rest: `oc.run.>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypePattern(String);

impl TypePattern {
    /// True when an event of this type is wanted.
    pub fn matches(&self, kind: &str) -> bool {
        let mut words = kind.split('.');
        for wanted in self.0.split('.') {
            match (wanted, words.next()) {
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(word)) if wanted == word => {}
                _ => return false,
            }
        }
        words.next().is_none()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TypePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<_> = text.split('.').collect();
        let last = words.len() - 1;
        let good = words.iter().enumerate().all(|(at, word)| match *word {
            "" => false,
            ">" => at == last,
            "*" => true,
            word => word
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')),
        });
        if !good {
            return Err(PatternError(text.chars().take(80).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for TypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, kind: &str) -> bool {
        pattern.parse::<TypePattern>().unwrap().matches(kind)
    }

    #[test]
    fn a_star_is_one_word_and_an_arrow_all_the_rest() {
        assert!(matches("oc.run.*.v1", "oc.run.started.v1"));
        assert!(!matches("oc.run.*", "oc.run.started.v1"));
        assert!(matches("oc.run.>", "oc.run.started.v1"));
        assert!(!matches("oc.run.>", "oc.run"));
        assert!(matches(">", "anything"));
        assert!(!matches("oc.run", "oc.runs"));
    }

    #[test]
    fn a_pattern_with_a_gap_or_an_early_arrow_is_refused() {
        for text in ["", "a..b", ">.a", "a b", ".a", "a."] {
            assert!(text.parse::<TypePattern>().is_err(), "{text}");
        }
    }
}
