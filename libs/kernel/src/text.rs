//! Text of others that people read: what may stand in a name, and what a terminal or a page may be given.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// True for a character that does not show as itself but acts on what stands around it: control characters,
/// line and paragraph separators, and the marks that turn the direction of writing (Unicode Standard Annex #9,
/// section 2). With these a text can pass for another or begin a line of its own.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

/// `text` on one line, each [hidden](is_hidden) character replaced by U+FFFD.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let shown = |c| if is_hidden(c) { '\u{fffd}' } else { c };
    Cow::Owned(text.chars().map(shown).collect())
}

/// True for a character that leaves no trace where it stands: the default ignorable code points (Unicode Standard,
/// section 5.21; DerivedCoreProperties.txt of version 17). Texts of some scripts need the joiners among them, so only
/// names do without.
fn is_ignorable(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Why a text is no name for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DisplayNameError {
    /// Nothing but blanks.
    #[error("a name must not be empty")]
    Empty,
    /// Longer than the limit, in characters.
    #[error("a name may have {limit} characters, this one has {length}")]
    TooLong {
        /// The limit in characters.
        limit: usize,
        /// What was given, in characters.
        length: usize,
    },
    /// White space before or after it, which nobody sees in a list.
    #[error("a name must not begin or end with white space")]
    Padded,
    /// A [hidden](is_hidden) character, or one that leaves no trace.
    #[error(
        "a name must not hold `{}`: leave out control characters, marks that turn the direction of writing, and what \
         does not show",
        .0.escape_unicode()
    )]
    Hidden(char),
    /// Letters of scripts that are not written together, in one word.
    #[error(
        "the word `{0}` mixes letters of two scripts, so it could pass for another: write it in one"
    )]
    Mixed(String),
}

/// What an organisation calls itself, in any script: 1 to 100 characters that all show, no white space around them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct DisplayName(String);

impl DisplayName {
    /// Longest name, in characters.
    pub const LIMIT: usize = 100;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks that it passes for no other by letters of another script. Asked of a name that is given to ourselves;
    /// those of others are told apart by their ids.
    ///
    /// # Errors
    /// Names the word whose letters are of several scripts.
    pub fn check_scripts(&self) -> Result<(), DisplayNameError> {
        match crate::mixed_word(&self.0) {
            Some(word) => Err(DisplayNameError::Mixed(word.to_owned())),
            None => Ok(()),
        }
    }
}

impl FromStr for DisplayName {
    type Err = DisplayNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(DisplayNameError::Empty);
        }
        if trimmed != text {
            return Err(DisplayNameError::Padded);
        }
        let length = text.chars().count();
        if length > Self::LIMIT {
            let limit = Self::LIMIT;
            return Err(DisplayNameError::TooLong { limit, length });
        }
        match text.chars().find(|c| is_hidden(*c) || is_ignorable(*c)) {
            Some(hidden) => Err(DisplayNameError::Hidden(hidden)),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for DisplayName {
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
    fn what_would_turn_or_break_a_line_is_shown_as_a_replacement() {
        assert_eq!(
            visible("ti\u{1b}[31m\u{202e}x\nstate  active\u{2066}\u{61c}"),
            "ti\u{fffd}[31m\u{fffd}x\u{fffd}state  active\u{fffd}\u{fffd}"
        );
        for hidden in ["\u{200e}", "\u{200f}", "\u{2028}", "\u{2069}", "\r", "\t"] {
            assert_eq!(visible(hidden), "\u{fffd}", "{hidden:?}");
        }
    }

    #[test]
    fn every_script_is_shown_as_it_is() {
        for text in [
            "Réseau de l'Est",
            "מרכז הלוויינים",
            "مركز الفضاء",
            "宇宙",
            "🛰",
        ] {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text));
            assert!(text.parse::<DisplayName>().is_ok(), "{text}");
        }
    }

    #[test]
    fn a_name_that_could_pass_for_another_is_refused_and_the_offender_named() {
        let refused = |text: &str| text.parse::<DisplayName>().unwrap_err().to_string();
        assert!(refused("Sou\u{1b}[31mth").contains("\\u{1b}"));
        assert!(refused("Sou\u{202e}ht").contains("\\u{202e}"));
        assert!(refused(" ").contains("empty"));
        assert!(refused(&"é".repeat(101)).contains("101"));
        for unseen in [
            '\u{ad}',
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{2060}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            let shown = format!("{}", unseen.escape_unicode());
            assert!(
                refused(&format!("Sou{unseen}th")).contains(&shown),
                "{shown}"
            );
            assert!(
                refused(&format!("South{unseen}")).contains(&shown),
                "{shown}"
            );
        }
        for padded in [" South", "South ", "South\u{a0}", "\u{3000}South"] {
            assert!(refused(padded).contains("white space"), "{padded:?}");
        }
        assert!("South Sea".parse::<DisplayName>().is_ok());
        assert!("é".repeat(100).parse::<DisplayName>().is_ok());
    }
}
