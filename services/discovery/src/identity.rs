//! Who we are: the organisation's keys, made at the first start and kept in files of their own.
//!
//! `node.json` holds the node's key and the signing keys, `root.json` the root keys (which may be taken away to a
//! safe place: nothing here needs them afterwards), `keysets.json` the signed KeySets. The folder is the
//! identity: with a copy of it the organisation keeps its name.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oc_federation::NodeKey;
use oc_kernel::OrgId;
use oc_trust::keyset::{HistoryError, KeyHistory};
use oc_trust::orgkeys::SeedError;
use oc_trust::{
    Envelope, LocalSigner, NodeKeys, OpenError, OrgKeys, RootKeys, Seeds, SignError, duty,
};
use zeroize::Zeroizing;

use crate::domain::error::DiscoveryError;
use crate::settings::Settings;

/// Largest statement that is signed on request, in bytes.
const PAYLOAD_BYTES: usize = 1024 * 1024;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read or written.
    #[error("cannot use the key file {path}: {cause}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// Others on this machine can read a secret.
    #[error("{path} can be read by others on this machine: run `chmod 600 {path}`")]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// The KeySets are there and the node's keys are not.
    #[error("{path} is missing: restore it from a backup, or the organisation loses its name")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The seeds make no keys.
    #[error("{path} is damaged: {cause}")]
    Seeds {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: SeedError,
    },
    /// The KeySets do not hold together.
    #[error("keysets.json is damaged: {0}")]
    History(#[from] HistoryError),
    /// The KeySets cannot be made.
    #[error("the first KeySet cannot be made: {0}")]
    Found(#[from] OpenError),
    /// The newest KeySet is about another node.
    #[error("the newest KeySet does not list this node: this copy of the keys was replaced")]
    Replaced,
}

/// Whose keys lie where a node keeps them; none where there are none yet. Nothing is made or changed.
///
/// # Errors
/// Why no node can use them.
pub fn look(settings: &Settings) -> Result<Option<OrgId>, IdentityError> {
    let folder = KeyFolder::new(settings);
    read_seeds(&folder.root)?;
    let (Some(keys), Some(history)) = (folder.node_keys()?, folder.history()?) else {
        return Ok(None);
    };
    match history.current().has_node(&keys.peer_id()) {
        true => Ok(Some(history.org())),
        false => Err(IdentityError::Replaced),
    }
}

/// This organisation.
pub(crate) struct Identity {
    pub(crate) org: OrgId,
    pub(crate) history: KeyHistory,
    pub(crate) node: NodeKey,
    signer: LocalSigner,
}

impl Identity {
    /// Loads the organisation's keys, or makes them where there are none.
    pub(crate) fn open(settings: &Settings) -> Result<Self, IdentityError> {
        let folder = KeyFolder::new(settings);
        folder.create()?;
        let keys = match folder.node_keys()? {
            Some(keys) => keys,
            None => folder.generate()?,
        };
        let history = match folder.history()? {
            Some(history) => history,
            None => folder.found(&keys)?,
        };
        if !history.current().has_node(&keys.peer_id()) {
            return Err(IdentityError::Replaced);
        }
        Ok(Self {
            org: history.org(),
            history,
            node: NodeKey::from_seed(&keys.node_seed()),
            signer: keys.signer(),
        })
    }

    /// The signed KeySets, oldest first.
    pub(crate) fn key_sets(&self) -> Vec<Vec<u8>> {
        let versions = self.history.versions().iter();
        versions.map(|version| version.bytes().to_vec()).collect()
    }

    /// Signs for a service, if that is its duty.
    pub(crate) fn sign_for(
        &self,
        service: &str,
        payload_type: &str,
        payload: &[u8],
    ) -> Result<Envelope, DiscoveryError> {
        let duties =
            duty(payload_type).ok_or_else(|| DiscoveryError::UnknownType(clip(payload_type)))?;
        if !duties.contains(&service) {
            return Err(DiscoveryError::NotItsDuty {
                service: service.to_owned(),
                payload_type: clip(payload_type),
            });
        }
        let (size, limit) = (payload.len(), PAYLOAD_BYTES);
        if size > limit {
            return Err(DiscoveryError::Payload { size, limit });
        }
        Ok(self.sign(payload_type, payload)?)
    }

    /// Signs for discovery itself.
    pub(crate) fn sign(&self, payload_type: &str, payload: &[u8]) -> Result<Envelope, SignError> {
        self.signer.sign_now(payload_type, payload)
    }
}

fn clip(text: &str) -> String {
    text.chars().take(120).collect()
}

struct KeyFolder {
    folder: PathBuf,
    root: PathBuf,
    node: PathBuf,
    history: PathBuf,
}

impl KeyFolder {
    fn new(settings: &Settings) -> Self {
        let folder = settings.keys.clone();
        let root = settings.root_key.clone();
        Self {
            root: root.unwrap_or_else(|| folder.join("root.json")),
            node: folder.join("node.json"),
            history: folder.join("keysets.json"),
            folder,
        }
    }

    fn create(&self) -> Result<(), IdentityError> {
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder);
        made.map_err(|error| file_error(&self.folder, &error))
    }

    fn node_keys(&self) -> Result<Option<NodeKeys>, IdentityError> {
        let Some(seeds) = read_seeds(&self.node)? else {
            if self.history.exists() {
                let path = self.node.clone();
                return Err(IdentityError::Missing { path });
            }
            return Ok(None);
        };
        let keys = NodeKeys::from_seeds(&seeds).map_err(|cause| IdentityError::Seeds {
            path: self.node.clone(),
            cause,
        })?;
        Ok(Some(keys))
    }

    /// The root comes first and the node's keys second: without both, no KeySet is ever signed.
    fn generate(&self) -> Result<NodeKeys, IdentityError> {
        let keys = OrgKeys::generate();
        if !self.root.exists() {
            write(&self.root, &seeds_json(&keys.root.seeds())?, 0o600)?;
        }
        write(&self.node, &seeds_json(&keys.node.seeds())?, 0o600)?;
        Ok(keys.node)
    }

    fn found(&self, node: &NodeKeys) -> Result<KeyHistory, IdentityError> {
        let seeds = read_seeds(&self.root)?.ok_or_else(|| IdentityError::Missing {
            path: self.root.clone(),
        })?;
        let root = RootKeys::from_seeds(&seeds).map_err(|cause| IdentityError::Seeds {
            path: self.root.clone(),
            cause,
        })?;
        let first = root.found(vec![node.peer_id()], node.listed())?;
        let history = KeyHistory::start(first)?;
        let texts: Vec<_> = history
            .versions()
            .iter()
            .map(|version| STANDARD.encode(version.bytes()))
            .collect();
        let json = serde_json::to_vec_pretty(&texts).map_err(|e| file_error(&self.history, &e))?;
        write(&self.history, &json, 0o644)?;
        Ok(history)
    }

    fn history(&self) -> Result<Option<KeyHistory>, IdentityError> {
        let Some(json) = read(&self.history)? else {
            return Ok(None);
        };
        let texts: Vec<String> =
            serde_json::from_slice(&json).map_err(|e| file_error(&self.history, &e))?;
        let key_sets = texts
            .iter()
            .map(|text| STANDARD.decode(text))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| file_error(&self.history, &e))?;
        let first = key_sets.first().ok_or(HistoryError::Empty)?;
        let first = oc_trust::SignedKeySet::open(first)?;
        let org = KeyHistory::start(first)?.org();
        Ok(Some(KeyHistory::verify(&org, &key_sets)?))
    }
}

fn file_error(path: &Path, cause: &dyn std::fmt::Display) -> IdentityError {
    IdentityError::File {
        path: path.to_owned(),
        cause: cause.to_string(),
    }
}

fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, IdentityError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error(path, &error)),
    }
}

fn read_seeds(path: &Path) -> Result<Option<Seeds>, IdentityError> {
    let Some(json) = read(path)? else {
        return Ok(None);
    };
    let mode = fs::metadata(path).map_err(|error| file_error(path, &error))?;
    if mode.permissions().mode() & 0o077 != 0 {
        let path = path.to_owned();
        return Err(IdentityError::Open { path });
    }
    let seeds: std::collections::BTreeMap<String, String> =
        serde_json::from_slice(&json).map_err(|error| file_error(path, &error))?;
    Ok(Some(
        seeds
            .into_iter()
            .map(|(name, seed)| (name, Zeroizing::new(seed)))
            .collect(),
    ))
}

fn seeds_json(seeds: &Seeds) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let texts: std::collections::BTreeMap<_, _> = seeds
        .iter()
        .map(|(name, seed)| (name, seed.as_str()))
        .collect();
    let json = serde_json::to_vec_pretty(&texts);
    json.map(Zeroizing::new)
        .map_err(|error| file_error(Path::new("seeds"), &error))
}

/// Writes a file as a whole or not at all.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), IdentityError> {
    let failed = |error: std::io::Error| file_error(path, &error);
    let fresh = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&fresh)
        .map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&fresh, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &Path) -> Settings {
        Settings {
            keys: folder.join("keys"),
            ..Settings::default()
        }
    }

    #[test]
    fn an_organisation_keeps_its_name_over_restarts_also_without_its_root() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let first = Identity::open(&settings).unwrap();
        fs::remove_file(settings.keys.join("root.json")).unwrap();
        let second = Identity::open(&settings).unwrap();
        assert_eq!(first.org, second.org);
        assert_eq!(first.node.peer_id(), second.node.peer_id());
        assert_eq!(first.key_sets(), second.key_sets());
    }

    #[test]
    fn keys_are_looked_at_without_making_any() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        assert_eq!(look(&settings).unwrap(), None);
        assert!(!settings.keys.exists());
        let made = Identity::open(&settings).unwrap();
        assert_eq!(look(&settings).unwrap(), Some(made.org));
        fs::remove_file(settings.keys.join("root.json")).unwrap();
        assert_eq!(look(&settings).unwrap(), Some(made.org));
        fs::remove_file(settings.keys.join("node.json")).unwrap();
        let missing = look(&settings).unwrap_err();
        assert!(
            matches!(missing, IdentityError::Missing { .. }),
            "{missing}"
        );
    }

    #[test]
    fn secrets_are_for_their_owner_only_and_refused_when_others_read_them() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        Identity::open(&settings).unwrap();
        for name in ["root.json", "node.json"] {
            let path = settings.keys.join(name);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let node = settings.keys.join("node.json");
        fs::set_permissions(&node, fs::Permissions::from_mode(0o644)).unwrap();
        let refused = Identity::open(&settings).err().unwrap();
        assert!(matches!(refused, IdentityError::Open { .. }), "{refused}");
    }

    #[test]
    fn a_lost_key_file_is_reported_instead_of_making_a_new_organisation() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        Identity::open(&settings).unwrap();
        fs::remove_file(settings.keys.join("node.json")).unwrap();
        let refused = Identity::open(&settings).err().unwrap();
        assert!(
            matches!(refused, IdentityError::Missing { .. }),
            "{refused}"
        );
    }

    #[test]
    fn a_first_start_that_was_interrupted_is_finished_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let first = Identity::open(&settings).unwrap();
        fs::remove_file(settings.keys.join("keysets.json")).unwrap();
        assert_eq!(Identity::open(&settings).unwrap().org, first.org);
    }

    #[test]
    fn a_service_gets_signed_what_is_its_duty_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::open(&settings(folder.path())).unwrap();
        let head = "application/vnd.opencloud.head.v1+json";
        assert!(identity.sign_for("catalog", head, b"{}").is_ok());
        let refused = identity.sign_for("accounting", head, b"{}").unwrap_err();
        assert!(
            matches!(refused, DiscoveryError::NotItsDuty { .. }),
            "{refused}"
        );
        let refused = identity
            .sign_for("catalog", "text/plain", b"{}")
            .unwrap_err();
        assert!(
            matches!(refused, DiscoveryError::UnknownType(_)),
            "{refused}"
        );
        let large = vec![0; PAYLOAD_BYTES + 1];
        let refused = identity.sign_for("catalog", head, &large).unwrap_err();
        assert!(
            matches!(refused, DiscoveryError::Payload { .. }),
            "{refused}"
        );
        let key_set = oc_trust::keyset::TYPE;
        assert!(identity.sign_for("discovery", key_set, b"{}").is_err());
    }
}
