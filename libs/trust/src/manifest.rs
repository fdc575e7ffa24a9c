//! What the attempt that counts has left: published once per fragment by a compare-and-set, so that a late
//! attempt cannot replace it.

use crate::envelope::{Scope, Statement};
use crate::purpose::Purpose;
use oc_kernel::{AttemptId, Digest, FragmentId, Name, ObjectKey, OrgId, RunId};
use serde::{Deserialize, Serialize};

/// One object that was left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artefact {
    /// The name of the workflow's output.
    pub name: String,
    /// Who keeps it.
    pub owner: OrgId,
    /// Where, in the owner's storage.
    pub object: ObjectKey,
    /// Its length in bytes.
    pub bytes: u64,
    /// The digest of its content.
    pub sha256: Digest,
    /// Its media type (RFC 6838).
    pub media_type: String,
}

/// The outputs of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The network of the run's grants.
    pub network: Name,
    /// The run.
    pub run: RunId,
    /// The fragment.
    pub fragment: FragmentId,
    /// The attempt that counts.
    pub attempt: AttemptId,
    /// What it left.
    pub outputs: Vec<Artefact>,
    /// Begin in ms since the epoch.
    pub not_before: u64,
    /// End in ms since the epoch.
    pub not_after: u64,
}

impl Statement for Manifest {
    const TYPE: &'static str = "application/vnd.opencloud.manifest.v1+json";
    const PURPOSE: Purpose = Purpose::Manifest;

    fn scope(&self) -> Scope<'_> {
        Scope {
            network: &self.network,
            not_before: self.not_before,
            not_after: self.not_after,
        }
    }

    fn check(&self) -> Result<(), String> {
        for (at, output) in self.outputs.iter().enumerate() {
            let same =
                |other: &Artefact| other.owner == output.owner && other.object == output.object;
            if self.outputs[..at].iter().any(same) {
                return Err(format!("the object `{}` is named twice", output.object));
            }
        }
        Ok(())
    }
}
