//! The short statement by which discovery tells a service of its own organisation who is calling from
//! another one. It never leaves the organisation.

use oc_kernel::{Name, OrgId};
use serde::{Deserialize, Serialize};

use crate::envelope::{Scope, Statement};
use crate::peer::PeerId;
use crate::purpose::Purpose;

/// Who calls what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    /// The organisation of the caller.
    pub org: OrgId,
    /// The node that Noise proved.
    pub peer: PeerId,
    /// The network the call came over.
    pub network: Name,
    /// The full gRPC method, `/package.Service/Method`.
    pub method: String,
    /// Random; a service that has seen it refuses it.
    pub nonce: String,
    /// Begin in ms since the epoch.
    pub not_before: u64,
    /// End in ms since the epoch.
    pub not_after: u64,
}

impl Caller {
    /// Longest life of such a statement, in ms.
    pub const MOST_MS: u64 = 120_000;

    /// A fresh nonce: 128 random bits in hex.
    pub fn nonce() -> String {
        hex::encode(rand::random::<[u8; 16]>())
    }
}

impl Statement for Caller {
    const TYPE: &'static str = "application/vnd.opencloud.caller.v1+json";
    const PURPOSE: Purpose = Purpose::Caller;

    fn scope(&self) -> Scope<'_> {
        Scope {
            network: &self.network,
            not_before: self.not_before,
            not_after: self.not_after,
        }
    }

    fn check(&self) -> Result<(), String> {
        let path: Vec<&str> = self.method.split('/').collect();
        if !matches!(path.as_slice(), ["", service, method] if !service.is_empty() && !method.is_empty())
        {
            return Err("a method is written /package.Service/Method".into());
        }
        if self.nonce.len() != 32 || !self.nonce.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("a nonce is 32 hex digits".into());
        }
        if self.not_after - self.not_before > Self::MOST_MS {
            return Err("a statement about a caller lives two minutes at most".into());
        }
        Ok(())
    }
}
