//! What accounting needs of others: the organisation's keys and signatures, and the books of partners.

use std::sync::Arc;

use async_trait::async_trait;
use oc_kernel::{Code, GrantId, Kind, OrgId};
use oc_trust::{KeyHistory, Signer};

use crate::domain::Cause;

/// Why another part of the system gives no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PortError {
    /// The row of the error table.
    pub kind: Kind,
    /// Which refusal of that kind.
    pub code: Option<Code>,
    /// What it said.
    pub message: String,
    /// What to do next, where it said that.
    pub advice: Option<String>,
}

/// Our own organisation: its name, its signatures, and everybody's keys.
#[async_trait]
pub trait Organisation: Signer {
    /// Who we are.
    async fn me(&self) -> Result<OrgId, PortError>;

    /// The KeySets of an organisation, ours among them.
    async fn keys(&self, org: OrgId) -> Result<Arc<KeyHistory>, PortError>;
}

/// A head as the other side hands it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedHead {
    /// The DSSE envelope.
    pub envelope: Vec<u8>,
    /// The consistency proof from the size that we said we have.
    pub consistency: Vec<Vec<u8>>,
    /// The newest head with both signatures beyond that size; empty where there is none.
    pub agreed: Vec<u8>,
}

/// The books of a grant as its provider keeps them; its consumer answers [`head`](Self::head) and
/// [`records`](Self::records) of its copy.
#[async_trait]
pub trait ProviderBooks: Send + Sync {
    /// The provider's head.
    async fn head(
        &self,
        provider: OrgId,
        grant: GrantId,
        known_size: u64,
    ) -> Result<OfferedHead, PortError>;

    /// Records from a position on, byte for byte as they stand in the log.
    async fn records(
        &self,
        provider: OrgId,
        grant: GrantId,
        from: u64,
        limit: u32,
    ) -> Result<Vec<Vec<u8>>, PortError>;

    /// Hands over our countersignature.
    async fn countersign(
        &self,
        provider: OrgId,
        grant: GrantId,
        head: Vec<u8>,
    ) -> Result<(), PortError>;

    /// Objects to a record.
    async fn dispute(
        &self,
        provider: OrgId,
        grant: GrantId,
        position: u64,
        cause: &Cause,
    ) -> Result<(), PortError>;
}
