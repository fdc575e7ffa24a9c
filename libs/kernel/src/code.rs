//! The closed list of words that tell refusals of one kind apart, for programs: what a caller must know to decide
//! whether, and where, another try helps. Most errors need none; their kind says enough.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why exactly something was refused, where the kind alone leaves open what a caller can do about it. The words and
/// their meanings stand in docs/protocol.md, section 15; a word once given never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// The books of the grant are disputed: nothing begins under it until that is settled.
    BooksDisputed,
    /// The grant was changed: what was signed under its earlier generation is good no more.
    GrantChanged,
    /// Its consumer ended the grant.
    GrantEnded,
    /// The grant is past its end.
    GrantExpired,
    /// No grant was shown, or it does not cover what is asked for.
    GrantMissing,
    /// Its provider took the grant back.
    GrantRevoked,
    /// There is no such grant, or not for this caller.
    GrantUnknown,
    /// The hold of capacity lapsed before it was used, or was never there.
    HoldLapsed,
    /// The lease has ended, or was never there.
    LeaseLost,
    /// No image of the dataset matches.
    NoImage,
    /// The end of something signed has passed.
    NoLongerValid,
    /// Something signed begins later than now.
    NotYetValid,
    /// The offer was withdrawn.
    OfferWithdrawn,
    /// More than was granted or delegated, whatever else ends.
    OverLimit,
    /// The site cannot isolate what partners run.
    SandboxMissing,
    /// A storage has no room left, until something in it is deleted.
    StorageFull,
}

impl Code {
    /// Every code, for tests that walk the table.
    pub const ALL: [Code; 16] = [
        Code::BooksDisputed,
        Code::GrantChanged,
        Code::GrantEnded,
        Code::GrantExpired,
        Code::GrantMissing,
        Code::GrantRevoked,
        Code::GrantUnknown,
        Code::HoldLapsed,
        Code::LeaseLost,
        Code::NoImage,
        Code::NoLongerValid,
        Code::NotYetValid,
        Code::OfferWithdrawn,
        Code::OverLimit,
        Code::SandboxMissing,
        Code::StorageFull,
    ];

    /// Stable word: the metadata `code` of gRPC `ErrorInfo` and the member `code` of a problem.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::BooksDisputed => "books-disputed",
            Code::GrantChanged => "grant-changed",
            Code::GrantEnded => "grant-ended",
            Code::GrantExpired => "grant-expired",
            Code::GrantMissing => "grant-missing",
            Code::GrantRevoked => "grant-revoked",
            Code::GrantUnknown => "grant-unknown",
            Code::HoldLapsed => "hold-lapsed",
            Code::LeaseLost => "lease-lost",
            Code::NoImage => "no-image",
            Code::NoLongerValid => "no-longer-valid",
            Code::NotYetValid => "not-yet-valid",
            Code::OfferWithdrawn => "offer-withdrawn",
            Code::OverLimit => "over-limit",
            Code::SandboxMissing => "sandbox-missing",
            Code::StorageFull => "storage-full",
        }
    }

    /// The inverse of [`Code::as_str`]; none for a word of a newer version, whose kind then decides.
    pub fn from_name(name: &str) -> Option<Code> {
        Code::ALL.into_iter().find(|code| code.as_str() == name)
    }

    /// Reads an optional word for `#[serde(deserialize_with)]`, and takes an unknown one for none.
    ///
    /// # Errors
    /// When there is something else than a text.
    pub fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Code>, D::Error> {
        let word = Option::<String>::deserialize(deserializer)?;
        Ok(word.as_deref().and_then(Code::from_name))
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn every_code_is_found_again_by_its_word() {
        for code in Code::ALL {
            assert_eq!(Code::from_name(code.as_str()), Some(code));
        }
        assert_eq!(Code::from_name("solar-flare"), None);
    }

    #[test]
    fn the_page_of_the_protocol_lists_each_code_and_no_other() {
        let page = include_str!("../../../docs/protocol.md");
        let table = page.split("**Codes**").nth(1).unwrap();
        let table = table
            .split("\nAt an organisation's own API")
            .next()
            .unwrap();
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
        let listed: Vec<_> = rows.filter_map(|row| row.split('`').next()).collect();
        assert_eq!(listed, Code::ALL.map(Code::as_str));
    }

    #[test]
    fn a_code_of_a_newer_version_is_read_as_none() {
        let read = |json: &str| Code::known(&mut serde_json::Deserializer::from_str(json));
        assert_eq!(read("\"no-image\"").unwrap(), Some(Code::NoImage));
        assert_eq!(read("\"solar-flare\"").unwrap(), None);
        assert_eq!(read("null").unwrap(), None);
        assert!(read("7").is_err());
    }
}
