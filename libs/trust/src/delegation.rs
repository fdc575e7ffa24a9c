//! One link of a chain: an organisation lets another act for it, for one attempt of one fragment.

use crate::envelope::{Scope, Statement};
use crate::limits::Limits;
use crate::purpose::Purpose;
use oc_kernel::{AttemptId, Digest, FragmentId, Name, NameError, ObjectKey, OrgId, RunId};
use serde::{Deserialize, Serialize};

/// Something an attempt may read, with the content it must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Who keeps it.
    pub owner: OrgId,
    /// The owner's dataset or storage listing it belongs to; none for an object of [`workspace`].
    pub listing: Option<Name>,
    /// Where, in the owner's storage.
    pub object: ObjectKey,
    /// The digest of its content.
    pub sha256: Digest,
}

/// Where an attempt may write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Who keeps what is written.
    pub owner: OrgId,
    /// The owner's storage listing; none for a prefix in [`workspace`].
    pub listing: Option<Name>,
    /// Everything is written below this.
    pub prefix: ObjectKey,
}

/// Authority passed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delegation {
    /// The network it is used on.
    pub network: Name,
    /// The grant or delegation it is taken from ([`crate::Sealed::digest`]); none when the issuer owns
    /// what it gives.
    pub parent: Option<Digest>,
    /// Who passes it on: the audience of the parent.
    pub issuer: OrgId,
    /// Who may show it.
    pub audience: OrgId,
    /// The run.
    pub run: RunId,
    /// The fragment.
    pub fragment: FragmentId,
    /// The attempt.
    pub attempt: AttemptId,
    /// The digest of the canonical fragment and its inputs' digests.
    pub request: Digest,
    /// The compute listing it runs on, where it asks to run something.
    pub offer: Option<Name>,
    /// All it may read. Only what the root of the chain owns is opened by this chain; the rest tells the
    /// site what to fetch by other chains.
    pub inputs: Vec<Input>,
    /// Where it may write.
    pub output: Option<Output>,
    /// Bounds of the attempt.
    pub limits: Limits,
    /// Begin in ms since the epoch.
    pub not_before: u64,
    /// End in ms since the epoch.
    pub not_after: u64,
}

/// Where a site keeps what the fragments of a consumer's run leave for later ones. The consumer's name is
/// part of it, so that knowing a run's id opens nothing.
///
/// # Errors
/// Never: both parts are segments of a key.
pub fn workspace(consumer: &OrgId, run: &RunId) -> Result<ObjectKey, NameError> {
    format!("work/{consumer}/{run}").parse()
}

/// Where one attempt writes in [`workspace`]: written once, by this attempt alone.
///
/// # Errors
/// Never: all parts are segments of a key.
pub fn attempt_prefix(
    consumer: &OrgId,
    run: &RunId,
    fragment: &FragmentId,
    attempt: &AttemptId,
) -> Result<ObjectKey, NameError> {
    workspace(consumer, run)?.join(&format!("{fragment}/{attempt}"))
}

impl Statement for Delegation {
    const TYPE: &'static str = "application/vnd.opencloud.delegation.v1+json";
    const PURPOSE: Purpose = Purpose::Delegation;
    const END_SKEW_MS: u64 = 0;

    fn scope(&self) -> Scope<'_> {
        Scope {
            network: &self.network,
            not_before: self.not_before,
            not_after: self.not_after,
        }
    }

    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}
