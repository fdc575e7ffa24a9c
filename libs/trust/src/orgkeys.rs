//! The secret half of an organisation: its root keys, and what a node of it holds. It keeps nothing;
//! the caller decides where seeds are stored, and that the root's lie elsewhere than the node's.

use std::collections::BTreeMap;

use async_trait::async_trait;
use ed25519_dalek::SigningKey;
use rand::RngCore as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::dsse::Envelope;
use crate::duty::purpose_of;
use crate::envelope::Signer;
use crate::error::{OpenError, SignError};
use crate::keyset::{KeySet, ListedKey, PublicKey, SignedKeySet};
use crate::peer::PeerId;
use crate::purpose::Purpose;

const ROOT: &str = "root";
const NEXT_ROOT: &str = "next-root";
const NODE: &str = "node";

/// Seeds by name, in hex: 64 digits for 32 bytes. Wiped from memory when dropped.
pub type Seeds = BTreeMap<String, Zeroizing<String>>;

/// Why seeds make no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    /// A seed that must be there is not.
    #[error("the seed `{0}` is missing")]
    Missing(String),
    /// Not 64 hex digits. The text is kept out of the message: it may be most of a secret.
    #[error("the seed `{0}` is not 64 hex digits")]
    Malformed(String),
}

#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct Seed([u8; 32]);

impl Seed {
    fn generate() -> Self {
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes)
    }

    fn read(seeds: &Seeds, name: &str) -> Result<Self, SeedError> {
        let text = seeds
            .get(name)
            .ok_or_else(|| SeedError::Missing(name.to_owned()))?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim(), &mut bytes)
            .map_err(|_| SeedError::Malformed(name.to_owned()))?;
        Ok(Self(bytes))
    }

    fn write(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.0))
    }

    fn key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.0)
    }

    fn public(&self) -> PublicKey {
        PublicKey::from(&self.key())
    }
}

/// The root key and the one that may take over. Needed only to make a KeySet.
#[derive(Clone)]
pub struct RootKeys {
    root: Seed,
    next: Seed,
}

impl RootKeys {
    /// New random keys.
    pub fn generate() -> Self {
        Self {
            root: Seed::generate(),
            next: Seed::generate(),
        }
    }

    /// The seeds, to be stored apart from the node.
    pub fn seeds(&self) -> Seeds {
        BTreeMap::from([
            (ROOT.to_owned(), self.root.write()),
            (NEXT_ROOT.to_owned(), self.next.write()),
        ])
    }

    /// The keys of stored seeds.
    ///
    /// # Errors
    /// When a seed is missing or malformed.
    pub fn from_seeds(seeds: &Seeds) -> Result<Self, SeedError> {
        Ok(Self {
            root: Seed::read(seeds, ROOT)?,
            next: Seed::read(seeds, NEXT_ROOT)?,
        })
    }

    /// The first KeySet of a new organisation, which gives it its name.
    ///
    /// # Errors
    /// When there are too many nodes or keys.
    pub fn found(
        &self,
        nodes: Vec<PeerId>,
        keys: Vec<ListedKey>,
    ) -> Result<SignedKeySet, OpenError> {
        self.issue(1, None, nodes, keys)
    }

    /// The KeySet that follows `previous`, under the same root.
    ///
    /// # Errors
    /// When there are too many nodes or keys.
    pub fn follow(
        &self,
        previous: &SignedKeySet,
        nodes: Vec<PeerId>,
        keys: Vec<ListedKey>,
    ) -> Result<SignedKeySet, OpenError> {
        let version = previous.key_set().version + 1;
        self.issue(version, Some(previous), nodes, keys)
    }

    /// The root keys after the announced one has taken over. The next KeySet that [`RootKeys::follow`] makes
    /// of them says so.
    pub fn rotated(&self) -> Self {
        Self {
            root: self.next.clone(),
            next: Seed::generate(),
        }
    }

    fn issue(
        &self,
        version: u64,
        previous: Option<&SignedKeySet>,
        nodes: Vec<PeerId>,
        keys: Vec<ListedKey>,
    ) -> Result<SignedKeySet, OpenError> {
        let key_set = KeySet {
            version,
            root: self.root.public(),
            next_root_digest: self.next.public().digest(),
            previous: previous.map(SignedKeySet::digest),
            nodes,
            keys,
        };
        SignedKeySet::sign(key_set, &self.root.key())
    }
}

/// What a node holds: its own key and one signing key for each purpose.
#[derive(Clone)]
pub struct NodeKeys {
    node: Seed,
    signing: BTreeMap<Purpose, Seed>,
}

impl NodeKeys {
    /// New random keys, one for each purpose.
    pub fn generate() -> Self {
        let signing = Purpose::ALL.map(|purpose| (purpose, Seed::generate()));
        Self {
            node: Seed::generate(),
            signing: BTreeMap::from(signing),
        }
    }

    /// The seeds, for a file that only the node can read.
    pub fn seeds(&self) -> Seeds {
        let signing = self.signing.iter();
        signing
            .map(|(purpose, seed)| (purpose.to_string(), seed.write()))
            .chain([(NODE.to_owned(), self.node.write())])
            .collect()
    }

    /// The keys of stored seeds.
    ///
    /// # Errors
    /// When a seed is missing or malformed.
    pub fn from_seeds(seeds: &Seeds) -> Result<Self, SeedError> {
        let signing = Purpose::ALL
            .into_iter()
            .map(|purpose| Ok((purpose, Seed::read(seeds, purpose.as_str())?)))
            .collect::<Result<_, SeedError>>()?;
        Ok(Self {
            node: Seed::read(seeds, NODE)?,
            signing,
        })
    }

    /// The name of the node on the network.
    pub fn peer_id(&self) -> PeerId {
        PeerId::of_ed25519(self.node.public().verifying_key().as_bytes())
    }

    /// The seed of the node's key, for `libp2p::identity::Keypair::ed25519_from_bytes`.
    pub fn node_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.node.0)
    }

    /// The public half, as a KeySet lists it.
    pub fn listed(&self) -> Vec<ListedKey> {
        let signing = self.signing.iter();
        signing
            .map(|(purpose, seed)| ListedKey::new(*purpose, seed.public()))
            .collect()
    }

    /// A signer with all purposes, for discovery and for tests.
    pub fn signer(&self) -> LocalSigner {
        let signing = self.signing.iter();
        LocalSigner(
            signing
                .map(|(purpose, seed)| {
                    let key = seed.key();
                    let id = PublicKey::from(&key).id();
                    (*purpose, (id, key))
                })
                .collect(),
        )
    }
}

/// Everything a new organisation starts with.
#[derive(Clone)]
pub struct OrgKeys {
    /// To be kept apart from the node.
    pub root: RootKeys,
    /// To be kept on the node.
    pub node: NodeKeys,
}

impl OrgKeys {
    /// New random keys.
    pub fn generate() -> Self {
        Self {
            root: RootKeys::generate(),
            node: NodeKeys::generate(),
        }
    }

    /// All seeds in one map.
    pub fn seeds(&self) -> Seeds {
        let mut seeds = self.root.seeds();
        seeds.extend(self.node.seeds());
        seeds
    }

    /// The keys of stored seeds.
    ///
    /// # Errors
    /// When a seed is missing or malformed.
    pub fn from_seeds(seeds: &Seeds) -> Result<Self, SeedError> {
        Ok(Self {
            root: RootKeys::from_seeds(seeds)?,
            node: NodeKeys::from_seeds(seeds)?,
        })
    }

    /// The first KeySet, with this one node.
    ///
    /// # Errors
    /// Never with keys made here; the rules of a KeySet are checked all the same.
    pub fn found(&self) -> Result<SignedKeySet, OpenError> {
        self.root
            .found(vec![self.node.peer_id()], self.node.listed())
    }
}

macro_rules! hide_secrets {
    ($($name:ident),*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}
hide_secrets!(RootKeys, NodeKeys, OrgKeys, LocalSigner);

/// Signs with keys in memory; picks the key by the purpose of the payload type.
#[derive(Clone)]
pub struct LocalSigner(BTreeMap<Purpose, (String, SigningKey)>);

impl LocalSigner {
    /// Signs at once.
    ///
    /// # Errors
    /// When the type is not signed on request or its key is not here.
    pub fn sign_now(&self, payload_type: &str, payload: &[u8]) -> Result<Envelope, SignError> {
        let purpose = purpose_of(payload_type)
            .ok_or_else(|| SignError::UnknownType(payload_type.to_owned()))?;
        let (id, key) = self.0.get(&purpose).ok_or(SignError::NoKey(purpose))?;
        Ok(Envelope::signed(payload_type, payload.to_vec(), id, key))
    }
}

#[async_trait]
impl Signer for LocalSigner {
    async fn sign(&self, payload_type: &str, payload: &[u8]) -> Result<Envelope, SignError> {
        self.sign_now(payload_type, payload)
    }
}
