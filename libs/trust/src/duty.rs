//! Which key signs which kind of statement, and which service may ask for it. One table, so that a
//! new kind of statement cannot be signed by a key or for a service nobody thought of.

use crate::caller::Caller;
use crate::delegation::Delegation;
use crate::envelope::Statement;
use crate::grant::Grant;
use crate::head::UsageHead;
use crate::listing::{Head, Listing};
use crate::manifest::Manifest;
use crate::purpose::Purpose;

struct Row {
    payload_type: &'static str,
    purpose: Purpose,
    services: &'static [&'static str],
}

const fn row<T: Statement>(services: &'static [&'static str]) -> Row {
    Row {
        payload_type: T::TYPE,
        purpose: T::PURPOSE,
        services,
    }
}

// KeySets are missing on purpose: only the root key signs them, and no service asks for that.
const TABLE: [Row; 7] = [
    row::<Listing>(&["catalog"]),
    row::<Head>(&["catalog"]),
    row::<Grant>(&["compute-provider"]),
    row::<Delegation>(&["pipeline-orchestrator"]),
    row::<Manifest>(&["pipeline-orchestrator"]),
    row::<UsageHead>(&["accounting"]),
    row::<Caller>(&["discovery"]),
];

fn find(payload_type: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.payload_type == payload_type)
}

/// The services that may ask discovery to sign `payload_type`; none for a type that is not signed
/// on request.
pub fn duty(payload_type: &str) -> Option<&'static [&'static str]> {
    find(payload_type).map(|row| row.services)
}

/// The purpose of the key that signs `payload_type`.
pub fn purpose_of(payload_type: &str) -> Option<Purpose> {
    find(payload_type).map(|row| row.purpose)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_one_row() {
        for (at, row) in TABLE.iter().enumerate() {
            let same = |other: &Row| other.payload_type == row.payload_type;
            assert_eq!(
                TABLE.iter().position(same),
                Some(at),
                "{}",
                row.payload_type
            );
        }
    }

    #[test]
    fn nobody_may_ask_for_a_key_set_or_an_unknown_type() {
        assert_eq!(duty(crate::keyset::TYPE), None);
        assert_eq!(duty("text/plain"), None);
        assert_eq!(purpose_of(crate::keyset::TYPE), None);
    }

    #[test]
    fn every_purpose_signs_something_and_carries_its_own_name() {
        for purpose in Purpose::ALL {
            assert!(TABLE.iter().any(|row| row.purpose == purpose), "{purpose}");
            let json = serde_json::to_string(&purpose).unwrap();
            assert_eq!(json, format!("\"{purpose}\""));
        }
    }
}
