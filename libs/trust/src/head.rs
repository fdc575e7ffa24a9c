//! Heads of usage logs: the provider signs how far the log of a grant goes, the consumer signs the same
//! bytes after its audit. With both signatures the bill stands.

use crate::envelope::{Keys, Scope, Sealed, Statement, Unverified};
use crate::error::OpenError;
use crate::purpose::Purpose;
use oc_kernel::{Digest, GrantId, Name, OrgId};
use serde::{Deserialize, Serialize};

/// How far the log of a grant goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageHead {
    /// The network of the grant.
    pub network: Name,
    /// The grant.
    pub grant: GrantId,
    /// Who writes the log.
    pub provider: OrgId,
    /// Who checks it.
    pub consumer: OrgId,
    /// Raised by a restore of the provider's store.
    pub epoch: u64,
    /// How many records there are.
    pub size: u64,
    /// The root over them ([`crate::merkle`]).
    pub root: Digest,
    /// When it was made, in ms since the epoch.
    pub not_before: u64,
    /// Until when the consumer may be asked to countersign it, in ms since the epoch. As evidence it does
    /// not end.
    pub not_after: u64,
}

impl Statement for UsageHead {
    const TYPE: &'static str = "application/vnd.opencloud.usage-head.v1+json";
    const PURPOSE: Purpose = Purpose::Usage;

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

/// Opens a head that both sides signed, as evidence: its time is not looked at.
///
/// # Errors
/// When it is malformed or one of the signatures is missing or bad.
pub fn open_countersigned(
    bytes: &[u8],
    provider: &dyn Keys,
    consumer: &dyn Keys,
) -> Result<Sealed<UsageHead>, OpenError> {
    let unverified = Unverified::<UsageHead>::parse(bytes)?;
    let sides = [
        (unverified.claim().provider, provider),
        (unverified.claim().consumer, consumer),
    ];
    for (org, keys) in sides {
        unverified.signed_by(keys).map_err(|error| match error {
            OpenError::NoKnownSigner => OpenError::Unsigned { missing: org },
            other => other,
        })?;
    }
    Ok(unverified.accept_as_evidence())
}
