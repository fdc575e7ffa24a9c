//! Chains of delegations as they come in messages: whose keys they need, and whether they hold here and now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oc_door::Door;
use oc_kernel::{Clock, Name, OrgId};
use oc_trust::dsse::Envelope;
use oc_trust::{
    Asking, Authority, Chain, ChainError, Delegation, Grant, Here, KeySet, OpenError, Statement,
    Unverified, open_draft, open_grant, verify_chain,
};

use crate::error::Error;

/// Checks what partners sign.
#[derive(Clone)]
pub(crate) struct Authorities {
    door: Door,
    clock: Arc<dyn Clock>,
}

/// Keys of the organisations that a statement names.
type Keys = BTreeMap<OrgId, Arc<KeySet>>;

impl Authorities {
    /// With keys from behind the door.
    pub(crate) fn new(door: Door, clock: Arc<dyn Clock>) -> Self {
        Self { door, clock }
    }

    /// Verifies a chain that `presenter` shows for things of ours. `network` is the one the call came over; for
    /// a call of our own services the chain's own.
    ///
    /// # Errors
    /// Where the chain does not hold, and why.
    pub(crate) async fn verify(
        &self,
        envelopes: &[Vec<u8>],
        presenter: &OrgId,
        network: Option<&Name>,
    ) -> Result<Authority, Error> {
        let owner = self.door.identity().await?.org;
        let chain = chain_of(envelopes)?;
        let orgs = signers(&chain)?;
        let network = match network {
            Some(network) => network.clone(),
            None => network_of(&chain)?,
        };
        self.with_keys(&orgs, |keys| {
            let here = Here {
                network: &network,
                now_ms: self.clock.now_ms(),
            };
            let asking = Asking {
                owner: &owner,
                presenter,
                here,
            };
            verify_chain(&chain, keys, &asking)
        })
        .await
    }

    /// Opens a grant that both sides have signed.
    ///
    /// # Errors
    /// When it does not hold here and now.
    pub(crate) async fn grant(&self, bytes: &[u8], network: &Name) -> Result<Grant, Error> {
        let claim = Unverified::<Grant>::parse(bytes)?;
        let orgs = BTreeSet::from([claim.claim().provider, claim.claim().consumer]);
        let opened = self.with_keys(&orgs, |keys| {
            let here = Here {
                network,
                now_ms: self.clock.now_ms(),
            };
            open_grant(bytes, keys, &here)
        });
        Ok(opened.await?.into_statement())
    }

    /// Opens a grant that its provider alone has signed, to be countersigned.
    ///
    /// # Errors
    /// When it does not hold here and now.
    pub(crate) async fn draft(
        &self,
        bytes: &[u8],
        provider: &OrgId,
        network: &Name,
    ) -> Result<oc_trust::Sealed<Grant>, Error> {
        let orgs = BTreeSet::from([*provider]);
        self.with_keys(&orgs, |keys| {
            let here = Here {
                network,
                now_ms: self.clock.now_ms(),
            };
            open_draft(bytes, provider, keys, &here)
        })
        .await
    }

    /// Tries with the keys that are known, and once more with fresh ones where a signer has none that fits.
    async fn with_keys<T, E>(
        &self,
        orgs: &BTreeSet<OrgId>,
        check: impl Fn(&Keys) -> Result<T, E>,
    ) -> Result<T, Error>
    where
        E: NeedsNewerKeys,
        Error: From<E>,
    {
        let mut keys = Keys::new();
        for org in orgs {
            // An organisation without keys here is named by the check, in words of its own.
            if let Ok(history) = self.door.key_history(*org).await {
                keys.insert(*org, Arc::new(history.current().clone()));
            }
        }
        match check(&keys) {
            Err(error) if error.needs_newer_keys() => {}
            done => return Ok(done?),
        }
        for org in orgs {
            if let Ok(history) = self.door.fetch_key_history(*org).await {
                keys.insert(*org, Arc::new(history.current().clone()));
            }
        }
        Ok(check(&keys)?)
    }
}

/// Errors that fresh keys may mend.
trait NeedsNewerKeys {
    fn needs_newer_keys(&self) -> bool;
}

impl NeedsNewerKeys for OpenError {
    fn needs_newer_keys(&self) -> bool {
        matches!(self, OpenError::NoKnownSigner | OpenError::Unsigned { .. })
    }
}

impl NeedsNewerKeys for ChainError {
    fn needs_newer_keys(&self) -> bool {
        matches!(self, ChainError::Open { source, .. } if source.needs_newer_keys())
    }
}

/// The envelopes of a message as a chain: the first one is the grant where its type says so.
fn chain_of(envelopes: &[Vec<u8>]) -> Result<Chain, Error> {
    let Some((first, rest)) = envelopes.split_first() else {
        return Err(ChainError::length(0).into());
    };
    if envelopes.len() > oc_trust::chain::MOST_LINKS + 1 {
        return Err(ChainError::length(envelopes.len()).into());
    }
    let rooted_in_grant = Envelope::from_json(first)?.payload_type == Grant::TYPE;
    Ok(if rooted_in_grant {
        Chain {
            grant: Some(first.clone()),
            links: rest.to_vec(),
        }
    } else {
        Chain {
            grant: None,
            links: envelopes.to_vec(),
        }
    })
}

/// Everyone who must have signed something of the chain.
fn signers(chain: &Chain) -> Result<BTreeSet<OrgId>, Error> {
    let mut orgs = BTreeSet::new();
    if let Some(grant) = &chain.grant {
        let grant = Unverified::<Grant>::parse(grant)?;
        orgs.extend([grant.claim().provider, grant.claim().consumer]);
    }
    for link in &chain.links {
        orgs.insert(Unverified::<Delegation>::parse(link)?.claim().issuer);
    }
    Ok(orgs)
}

fn network_of(chain: &Chain) -> Result<Name, Error> {
    let Some(link) = chain.links.first() else {
        return Err(ChainError::length(0).into());
    };
    Ok(Unverified::<Delegation>::parse(link)?
        .claim()
        .network
        .clone())
}
