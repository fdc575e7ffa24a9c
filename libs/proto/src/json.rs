//! How protobuf's enums and bytes look in JSON.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A protobuf enum that is written as a short lower-case word.
pub trait Word: TryFrom<i32> + Copy + 'static {
    /// The proto name, for example `GRANT_STATE_ACTIVE`.
    fn proto_name(self) -> &'static str;
    /// The value of a proto name.
    fn from_proto_name(name: &str) -> Option<Self>;
    /// The number on the wire.
    fn number(self) -> i32;

    /// The word, for example `active`.
    fn word(self) -> String {
        self.proto_name()[prefix::<Self>().len()..].to_ascii_lowercase()
    }

    /// The value of a word.
    fn from_word(word: &str) -> Option<Self> {
        Self::from_proto_name(&format!(
            "{}{}",
            prefix::<Self>(),
            word.to_ascii_uppercase()
        ))
    }
}

/// Every enum names its zero `<PREFIX>_UNSPECIFIED`, which `buf lint` enforces.
fn prefix<E: Word>() -> &'static str {
    E::try_from(0).map_or("", |zero| zero.proto_name().trim_end_matches("UNSPECIFIED"))
}

macro_rules! words {
    ($($path:path),* $(,)?) => {$(
        impl Word for $path {
            fn proto_name(self) -> &'static str { self.as_str_name() }
            fn from_proto_name(name: &str) -> Option<Self> { Self::from_str_name(name) }
            fn number(self) -> i32 { self as i32 }
        }
    )*};
}

words! {
    crate::accounting::v1::ExportFormat,
    crate::accounting::v1::SumBy,
    crate::catalog::v1::ListingKind,
    crate::compute::v1::OfferKind,
    crate::discovery::v1::PeerState,
    crate::federation::v1::AttemptState,
    crate::federation::v1::GrantState,
    crate::pipeline::v1::FragmentState,
    crate::pipeline::v1::PlacementStrategy,
    crate::pipeline::v1::RunState,
}

/// `#[serde(with)]` for one enum field.
pub struct AsWord<E>(PhantomData<E>);

impl<E: Word> AsWord<E> {
    /// Writes the word; a number from a newer version is written as `unspecified`.
    ///
    /// # Errors
    /// What the serializer says.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes fields by reference"
    )]
    pub fn serialize<S: Serializer>(number: &i32, serializer: S) -> Result<S::Ok, S::Error> {
        let word = E::try_from(*number).map_or_else(|_| "unspecified".to_owned(), Word::word);
        serializer.serialize_str(&word)
    }

    /// Reads a word.
    ///
    /// # Errors
    /// When there is no such word.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
        let word = String::deserialize(deserializer)?;
        number_of::<E, D::Error>(&word)
    }
}

/// `#[serde(with)]` for a list of enums.
pub struct AsWords<E>(PhantomData<E>);

impl<E: Word> AsWords<E> {
    /// Writes the words.
    ///
    /// # Errors
    /// What the serializer says.
    pub fn serialize<S: Serializer>(numbers: &[i32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            numbers
                .iter()
                .map(|n| E::try_from(*n).map_or_else(|_| "unspecified".to_owned(), Word::word)),
        )
    }

    /// Reads words.
    ///
    /// # Errors
    /// When one of them does not exist.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<i32>, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        words
            .iter()
            .map(|word| number_of::<E, D::Error>(word))
            .collect()
    }
}

fn number_of<E: Word, R: Error>(word: &str) -> Result<i32, R> {
    E::from_word(word)
        .map(Word::number)
        .ok_or_else(|| R::custom(format!("unknown word `{word}`")))
}

/// `#[serde(with)]` for bytes, as standard base64 with padding (RFC 4648 section 4).
pub mod bytes {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    /// Writes base64.
    ///
    /// # Errors
    /// What the serializer says.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    /// Reads base64.
    ///
    /// # Errors
    /// When it is not base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(D::Error::custom)
    }

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    pub(super) struct Chunk(#[serde(with = "super::bytes")] pub(super) Vec<u8>);
}

/// `#[serde(with)]` for a list of bytes.
pub mod byte_list {
    use super::*;

    /// Writes a list of base64 texts.
    ///
    /// # Errors
    /// What the serializer says.
    pub fn serialize<S: Serializer>(list: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|bytes| bytes::Chunk(bytes.clone())))
    }

    /// Reads a list of base64 texts.
    ///
    /// # Errors
    /// When one is not base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Vec<u8>>, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Vec<Vec<u8>>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of base64 texts")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(bytes::Chunk(bytes)) = seq.next_element()? {
                    list.push(bytes);
                }
                Ok(list)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

#[cfg(test)]
mod tests {
    use crate::compute::v1::Grant;
    use crate::federation::v1::GrantState;
    use crate::pipeline::v1::{InputValue, input_value::Value};

    #[test]
    fn enums_are_short_words_and_bytes_are_base64() {
        let grant = Grant {
            state: GrantState::Active.into(),
            envelope: vec![0xff, 0x00],
            ..Grant::default()
        };
        let json = serde_json::to_value(&grant).unwrap();
        assert_eq!(json["state"], "active");
        assert_eq!(json["envelope"], "/wA=");
        assert_eq!(serde_json::from_value::<Grant>(json).unwrap(), grant);
    }

    #[test]
    fn a_missing_field_has_its_default_and_an_unknown_word_is_refused() {
        let grant: Grant = serde_json::from_str(r#"{"grant_id":"g"}"#).unwrap();
        assert_eq!(grant.state, 0);
        assert!(serde_json::from_str::<Grant>(r#"{"state":"granted"}"#).is_err());
    }

    #[test]
    fn a_choice_is_named_by_its_field() {
        let input: InputValue = serde_json::from_str(r#"{"json":"3"}"#).unwrap();
        assert_eq!(input.value, Some(Value::Json("3".into())));
        assert_eq!(serde_json::to_string(&input).unwrap(), r#"{"json":"3"}"#);
    }
}
