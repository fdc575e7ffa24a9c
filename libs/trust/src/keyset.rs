//! An organisation's KeySets: who it is, which nodes are its, and which keys sign what. Its name is
//! the digest of the first one. It knows no way to fetch one.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::dsse::Envelope;
use crate::envelope::Keys;
use crate::error::OpenError;
use crate::peer::PeerId;
use crate::purpose::Purpose;
use ed25519_dalek::{SigningKey, VerifyingKey};
use oc_kernel::{Digest, OrgId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The payload type of a KeySet.
pub const TYPE: &str = "application/vnd.opencloud.keyset.v1+json";

/// Most nodes and most keys a KeySet may list.
const MOST_ENTRIES: usize = 256;

/// An Ed25519 public key, written as 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// The key's id: the first 32 hex digits of the digest of its 32 bytes.
    pub fn id(&self) -> String {
        let mut id = self.digest().to_string();
        id.truncate(32);
        id
    }

    /// The digest of its 32 bytes, by which a KeySet names the next root.
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    /// The key.
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.0
    }
}

impl From<&SigningKey> for PublicKey {
    fn from(key: &SigningKey) -> Self {
        Self(key.verifying_key())
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0.as_bytes()))
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The spelling of a digest: 32 bytes in lower-case hex, and nothing else.
        let bytes = Digest::deserialize(deserializer)?;
        let key = VerifyingKey::from_bytes(bytes.as_bytes()).map_err(D::Error::custom)?;
        // A weak key verifies signatures that nobody made.
        if key.is_weak() {
            return Err(D::Error::custom("a weak public key"));
        }
        Ok(Self(key))
    }
}

/// A signing key of an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedKey {
    /// What it signs.
    pub purpose: Purpose,
    /// [`PublicKey::id`] of the key.
    pub id: String,
    /// The key.
    pub public: PublicKey,
}

impl ListedKey {
    /// Lists `public` for `purpose`.
    pub fn new(purpose: Purpose, public: PublicKey) -> Self {
        Self {
            purpose,
            id: public.id(),
            public,
        }
    }
}

/// One version of what an organisation says about itself. Several keys may stand side by side for a
/// purpose while one replaces the other; a key that is gone from the newest version opens nothing any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySet {
    /// 1 for the first, then one more each time.
    pub version: u64,
    /// The root key that signs this version.
    pub root: PublicKey,
    /// The digest of the root key that may take over.
    pub next_root_digest: Digest,
    /// The digest of the version before; none in the first.
    pub previous: Option<Digest>,
    /// The nodes that act for the organisation on the network.
    pub nodes: Vec<PeerId>,
    /// The signing keys.
    pub keys: Vec<ListedKey>,
}

impl KeySet {
    /// True when this node acts for the organisation.
    pub fn has_node(&self, peer: &PeerId) -> bool {
        self.nodes.contains(peer)
    }

    fn check(&self) -> Result<(), OpenError> {
        let rule = |text: &str| Err(OpenError::Rule(text.to_owned()));
        if (self.version == 1) != self.previous.is_none() {
            return rule("only the first KeySet has no predecessor");
        }
        if self.version == 0 {
            return rule("KeySets are counted from 1");
        }
        if self.nodes.is_empty() || self.nodes.len() > MOST_ENTRIES {
            return rule("a KeySet lists 1 to 256 nodes");
        }
        if self.keys.len() > MOST_ENTRIES {
            return rule("a KeySet lists at most 256 keys");
        }
        if self.keys.iter().any(|key| key.id != key.public.id()) {
            return rule("a key is listed under an id that is not its own");
        }
        let is_root = |key: &ListedKey| key.public == self.root;
        if self.keys.iter().any(is_root) {
            return rule("the root key must not be listed as a signing key");
        }
        for (at, key) in self.keys.iter().enumerate() {
            // One key for two purposes would let a signature for one pass as the other's.
            if self.keys[..at].iter().any(|other| other.id == key.id) {
                return rule("a key is listed twice");
            }
        }
        Ok(())
    }
}

impl Keys for KeySet {
    fn key(&self, purpose: Purpose, key_id: &str) -> Option<&VerifyingKey> {
        self.keys
            .iter()
            .find(|key| key.purpose == purpose && key.id == key_id)
            .map(|key| key.public.verifying_key())
    }
}

/// A KeySet whose signature by the root it names was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedKeySet {
    bytes: Vec<u8>,
    digest: Digest,
    key_set: KeySet,
}

impl SignedKeySet {
    /// Signs a KeySet with its root.
    ///
    /// # Errors
    /// When the KeySet breaks a rule or names another root.
    pub fn sign(key_set: KeySet, root: &SigningKey) -> Result<Self, OpenError> {
        key_set.check()?;
        let public = PublicKey::from(root);
        if key_set.root != public {
            return Err(OpenError::Rule(
                "a KeySet names the root that signs it".into(),
            ));
        }
        let payload = serde_json::to_vec(&key_set).map_err(OpenError::malformed)?;
        let digest = Digest::of(&payload);
        let envelope = Envelope::signed(TYPE, payload, &public.id(), root);
        Ok(Self {
            bytes: envelope.to_json(),
            digest,
            key_set,
        })
    }

    /// Reads a KeySet and checks that the root it names signed it. Whether that root may speak for the
    /// organisation is for [`KeyHistory`] to say.
    ///
    /// # Errors
    /// When it is malformed, breaks a rule or is not signed by its root.
    pub fn open(bytes: &[u8]) -> Result<Self, OpenError> {
        let envelope = Envelope::from_json(bytes)?;
        if envelope.payload_type != TYPE {
            return Err(OpenError::Type {
                expected: TYPE,
                found: envelope.payload_type,
            });
        }
        let key_set: KeySet =
            serde_json::from_slice(&envelope.payload).map_err(OpenError::malformed)?;
        key_set.check()?;
        let root_id = key_set.root.id();
        envelope.verify(|id| (id == root_id).then(|| key_set.root.verifying_key()))?;
        Ok(Self {
            bytes: bytes.to_vec(),
            digest: Digest::of(&envelope.payload),
            key_set,
        })
    }

    /// The envelope's JSON: what to store and to pass on.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The digest of the KeySet's bytes: the organisation's name if this is its first.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The KeySet.
    pub fn key_set(&self) -> &KeySet {
        &self.key_set
    }
}

/// Why a KeySet does not belong to an organisation's history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// A history has at least the first KeySet.
    #[error("no KeySet was given")]
    Empty,
    /// The first KeySet is not the one that gave the organisation its name.
    #[error("the first KeySet makes the name {found}, not {expected}")]
    Name {
        /// The name that was expected.
        expected: OrgId,
        /// The name of the first KeySet.
        found: OrgId,
    },
    /// Not the next version, or it follows another one.
    #[error("KeySet {found} does not follow KeySet {last} of this history")]
    Gap {
        /// The newest version here.
        last: u64,
        /// The version that came.
        found: u64,
    },
    /// Signed by a root that may not take over.
    #[error("KeySet {version} is signed by a root that its predecessor does not name")]
    Root {
        /// The version that came.
        version: u64,
    },
    /// The KeySet itself is bad.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl oc_kernel::Classify for HistoryError {
    fn kind(&self) -> oc_kernel::Kind {
        match self {
            HistoryError::Empty => oc_kernel::Kind::Malformed,
            HistoryError::Gap { .. } => oc_kernel::Kind::Conflict,
            HistoryError::Name { .. } | HistoryError::Root { .. } => {
                oc_kernel::Kind::Unauthenticated
            }
            HistoryError::Open(error) => error.kind(),
        }
    }
}

/// All KeySets of one organisation, from the first to the newest, each vouched for by the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHistory(Vec<SignedKeySet>);

impl KeyHistory {
    /// The history of a new organisation.
    ///
    /// # Errors
    /// When it is not a first KeySet.
    pub fn start(first: SignedKeySet) -> Result<Self, HistoryError> {
        if first.key_set.version != 1 {
            return Err(HistoryError::Gap {
                last: 0,
                found: first.key_set.version,
            });
        }
        Ok(Self(vec![first]))
    }

    /// Checks a history that somebody else holds, oldest first.
    ///
    /// # Errors
    /// When it is not the history of `org` or does not hold together.
    pub fn verify<B: AsRef<[u8]>>(org: &OrgId, envelopes: &[B]) -> Result<Self, HistoryError> {
        let (first, rest) = envelopes.split_first().ok_or(HistoryError::Empty)?;
        let mut history = Self::start(SignedKeySet::open(first.as_ref())?)?;
        if history.org() != *org {
            return Err(HistoryError::Name {
                expected: *org,
                found: history.org(),
            });
        }
        for bytes in rest {
            history.append(SignedKeySet::open(bytes.as_ref())?)?;
        }
        Ok(history)
    }

    /// Adds the next KeySet: it names the newest one here, and is signed by the same root or by the one
    /// whose digest the newest one holds.
    ///
    /// # Errors
    /// When it does not follow, or its root may not take over.
    pub fn append(&mut self, next: SignedKeySet) -> Result<(), HistoryError> {
        let last = self.newest();
        let follows = next.key_set.version == last.key_set.version + 1
            && next.key_set.previous == Some(last.digest);
        if !follows {
            return Err(HistoryError::Gap {
                last: last.key_set.version,
                found: next.key_set.version,
            });
        }
        let same = next.key_set.root == last.key_set.root;
        // The digest of the next root is fixed long before that key is ever used, so whoever steals the
        // present root cannot choose its successor.
        let announced = next.key_set.root.digest() == last.key_set.next_root_digest;
        let keeps_heir = !same || next.key_set.next_root_digest == last.key_set.next_root_digest;
        if !(same || announced) || !keeps_heir {
            return Err(HistoryError::Root {
                version: next.key_set.version,
            });
        }
        self.0.push(next);
        Ok(())
    }

    /// The organisation's name.
    pub fn org(&self) -> OrgId {
        OrgId::from_digest(*self.0[0].digest.as_bytes())
    }

    /// The newest KeySet: the one that counts for everything but the past.
    pub fn current(&self) -> &KeySet {
        &self.newest().key_set
    }

    /// The newest KeySet with its signature.
    pub fn newest(&self) -> &SignedKeySet {
        &self.0[self.0.len() - 1]
    }

    /// Every version with its signature, oldest first.
    pub fn versions(&self) -> &[SignedKeySet] {
        &self.0
    }

    /// Every key the organisation ever listed, for books of the past; never for authority.
    pub fn ever(&self) -> Ever<'_> {
        Ever(self)
    }
}

/// See [`KeyHistory::ever`].
#[derive(Debug, Clone, Copy)]
pub struct Ever<'a>(&'a KeyHistory);

impl Keys for Ever<'_> {
    fn key(&self, purpose: Purpose, key_id: &str) -> Option<&VerifyingKey> {
        let mut newest_first = self.0.0.iter().rev();
        newest_first.find_map(|version| version.key_set.key(purpose, key_id))
    }
}

/// Where the newest KeySet of an organisation is looked up.
pub trait KeySets {
    /// The newest KeySet known here.
    fn key_set(&self, org: &OrgId) -> Option<Arc<KeySet>>;
}

impl KeySets for BTreeMap<OrgId, Arc<KeySet>> {
    fn key_set(&self, org: &OrgId) -> Option<Arc<KeySet>> {
        self.get(org).cloned()
    }
}
