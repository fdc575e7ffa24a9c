//! Ids. Things made here carry a UUIDv7, which sorts by time; an organisation is named by a digest.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::Uuid;

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind} id")]
pub struct ParseIdError {
    kind: &'static str,
    text: String,
}

/// The kind of thing an id names; its prefix keeps one kind from being passed for another.
pub trait IdKind: 'static {
    /// The prefix in front of the dash, for example `run`.
    const PREFIX: &'static str;
}

/// A time-ordered id, written `<prefix>-<32 hex digits>`.
pub struct Id<K>(Uuid, PhantomData<fn() -> K>);

impl<K: IdKind> Id<K> {
    /// A new id; later ones sort after earlier ones.
    #[expect(
        clippy::new_without_default,
        reason = "a default id would hide a missing one"
    )]
    pub fn new() -> Self {
        Self(Uuid::now_v7(), PhantomData)
    }
}

impl<K: IdKind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", K::PREFIX, self.0.simple())
    }
}

impl<K: IdKind> FromStr for Id<K> {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseIdError {
            kind: K::PREFIX,
            text: text.chars().take(80).collect(),
        };
        let digits = text
            .strip_prefix(K::PREFIX)
            .and_then(|rest| rest.strip_prefix('-'))
            .filter(|digits| digits.len() == 32 && digits.bytes().all(is_lower_hex))
            .ok_or_else(wrong)?;
        let uuid = Uuid::try_parse(digits).map_err(|_| wrong())?;
        Ok(Self(uuid, PhantomData))
    }
}

fn is_lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K> std::hash::Hash for Id<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<K: IdKind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl<K: IdKind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de, K: IdKind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

macro_rules! id_kinds {
    ($($(#[$doc:meta])* $name:ident = $marker:ident, $prefix:literal;)*) => {$(
        #[doc(hidden)]
        pub enum $marker {}
        impl IdKind for $marker { const PREFIX: &'static str = $prefix; }
        $(#[$doc])*
        pub type $name = Id<$marker>;
    )*};
}

id_kinds! {
    /// One execution of a workflow.
    RunId = Run, "run";
    /// A convex part of a run that executes at one site.
    FragmentId = Fragment, "frag";
    /// One try of a fragment.
    AttemptId = Attempt, "att";
    /// An agreement between a provider and a consumer.
    GrantId = Grant, "grant";
    /// Capacity or data held for seconds.
    ReservationId = Reservation, "resv";
    /// One attempt's right to capacity.
    LeaseId = Lease, "lease";
}

/// An organisation: the SHA-256 digest of its first KeySet, written `org-<64 hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrgId([u8; 32]);

impl OrgId {
    /// The organisation whose first KeySet has this digest.
    pub const fn from_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight digits, for tables; not unique enough to look anything up by.
    pub fn short(&self) -> String {
        self.0[..4].iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl fmt::Display for OrgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("org-")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for OrgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for OrgId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseIdError {
            kind: "org",
            text: text.chars().take(80).collect(),
        };
        let digits = text
            .strip_prefix("org-")
            .filter(|digits| digits.len() == 64 && digits.bytes().all(is_lower_hex))
            .ok_or_else(wrong)?;
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(digest))
    }
}

impl Serialize for OrgId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OrgId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_as_written_and_sort_by_age() {
        let first = RunId::new();
        let second = RunId::new();
        assert!(first < second);
        assert_eq!(first.to_string().parse::<RunId>(), Ok(first));
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        assert!(GrantId::new().to_string().parse::<RunId>().is_err());
    }

    #[test]
    fn other_spellings_of_the_same_id_are_refused() {
        let id = RunId::new().to_string();
        for text in [
            id.to_uppercase(),
            format!("{id} "),
            id.replace("run-", "run-0"),
            "run-".into(),
        ] {
            assert!(text.parse::<RunId>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_org_id_is_read_back_as_written() {
        let org = OrgId::from_digest([0xa5; 32]);
        assert_eq!(org.to_string().parse::<OrgId>(), Ok(org));
        assert!("org-éé".parse::<OrgId>().is_err());
    }
}
