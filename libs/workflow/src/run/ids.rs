//! Names of fragments and attempts, derived from the run's: a run that is read again finds them again.

use oc_kernel::{AttemptId, Digest, FragmentId, Id, IdKind, RunId};

use super::AttemptRef;

/// The id of a run's fragment.
pub fn fragment_id(run: RunId, index: u32) -> FragmentId {
    derive(&format!("{run}/{index}"))
}

/// The id of a fragment's attempt.
pub fn attempt_id(run: RunId, at: AttemptRef) -> AttemptId {
    derive(&format!("{run}/{}/{}", at.fragment, at.attempt))
}

/// A UUIDv8 (RFC 9562, section 5.8) from the digest of a name.
fn derive<K: IdKind>(name: &str) -> Id<K> {
    let digest = Digest::of(name.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    bytes[6] = 0x80 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    let text = format!("{}-{}", K::PREFIX, hex::encode(bytes));
    text.parse().expect("a prefix and 32 hex digits are an id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_same_each_time_and_differ_by_what_they_name() {
        let run = RunId::new();
        let at = |fragment, attempt| AttemptRef { fragment, attempt };
        assert_eq!(fragment_id(run, 3), fragment_id(run, 3));
        assert_ne!(fragment_id(run, 3), fragment_id(run, 4));
        assert_ne!(fragment_id(run, 3), fragment_id(RunId::new(), 3));
        assert_eq!(attempt_id(run, at(1, 12)), attempt_id(run, at(1, 12)));
        assert_ne!(attempt_id(run, at(1, 12)), attempt_id(run, at(11, 2)));
    }
}
