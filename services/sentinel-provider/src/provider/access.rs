//! Opening files: who shows a reservation and the authority to read it gets tokens, each good for one
//! file and for seconds; whoever shows a token gets the bytes, as long as reservation and grant hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _, try_unfold};
use oc_auth::{Access, Ask, Caveat, Macaroon};
use oc_door::{Caller, DoorError};
use oc_kernel::{Name, ObjectKey, OrgId};
use oc_objects::{ObjectError, ObjectInfo};
use oc_proto::federation::v1 as pb;
use oc_trust::envelope::{Here, Statement, Unverified};
use oc_trust::{
    Asking, Authority, Chain, ChainError, Delegation, Grant, Input, KeySet, Tool, verify_chain,
};
use serde::{Deserialize, Serialize};

use super::Provider;
use crate::convert;
use crate::domain::{DataError, Reservation};
use crate::ports::Checked;

/// A file on its way out.
pub(crate) struct Opened {
    /// The whole file.
    pub(crate) info: ObjectInfo,
    /// Its bytes from the offset on; broken off when the reservation or its grant ends.
    pub(crate) bytes: BoxStream<'static, Result<Bytes, DataError>>,
}

/// What a token was made for. Only what its signature covers is believed.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ticket {
    /// The file.
    key: ObjectKey,
    /// The key of the reservation's document.
    reservation: String,
    /// The generation of the grant; zero for our own.
    generation: u64,
    /// The end of the delegation behind it, in ms since the epoch.
    until_ms: u64,
    /// Its bytes leave this organisation, so the grant bounds them.
    leaves: bool,
}

impl Provider {
    /// Opens files of a reservation for one attempt. A partner shows the chain that gives it the right; our
    /// own services need none, because compute-provider has verified it at admission.
    ///
    /// # Errors
    /// When the reservation has ended, its grant is no longer good, or the chain does not give the right.
    pub(crate) async fn access(
        &self,
        caller: &Caller,
        request: &pb::AccessRequest,
    ) -> Result<pb::AccessResponse, DataError> {
        let held = self.reservation(&request.reservation_id).await?;
        let reservation = &held.value;
        let now_ms = self.clock().now_ms();
        let keys = request.keys.iter().map(|key| {
            key.parse()
                .map_err(|reason| DataError::name("a key", key, reason))
        });
        let keys: Vec<ObjectKey> = keys.collect::<Result<_, _>>()?;
        let authority = match caller.own {
            true => None,
            false => Some(self.authority(caller, request, reservation).await?),
        };
        reservation.check(now_ms)?;
        let checked = self.check_reservation_grant(reservation).await?;
        let generation = checked.generation;
        let at_home = match caller.own {
            true => self.check_home(request, reservation, checked).await?,
            false => None,
        };
        let shown = authority.as_ref().and_then(|a| a.grant.as_ref());
        if let Some(grant) = shown.filter(|grant| grant.generation != generation) {
            return Err(DataError::Generation {
                current: generation,
                shown: grant.generation,
            });
        }
        if let Some(tools) = shown.and_then(|grant| grant.tools.as_deref()) {
            return Err(DataError::OnlyHere {
                listing: crate::domain::listing_id(&reservation.dataset),
                tools: tool_names(tools),
            });
        }
        let owner = self.owner().await?;
        let life_ms = u64::from(self.settings().token_seconds) * 1000;
        let until_ms = authority.as_ref().map_or(u64::MAX, |a| a.not_after);
        let end_ms = until_ms.min(now_ms + life_ms);
        let listing = crate::domain::listing_id(&reservation.dataset);
        let delegated = at_home.or(authority.as_ref().map(|a| a.inputs.clone()));
        let opens = |key: &ObjectKey| {
            let named = |input: &Input| {
                let of = input
                    .listing
                    .as_ref()
                    .is_some_and(|of| of.as_str() == listing);
                input.owner == owner && input.object == *key && of
            };
            delegated
                .as_ref()
                .is_none_or(|inputs| inputs.iter().any(named))
        };
        let mut objects = Vec::new();
        for file in reservation.select(&keys)? {
            if !opens(&file.key) {
                return Err(DataError::Outside {
                    key: file.key.to_string(),
                    place: "the delegation",
                });
            }
            let ticket = Ticket {
                key: file.key.clone(),
                reservation: held.key.clone(),
                generation,
                until_ms,
                leaves: shown.is_some(),
            };
            objects.push(pb::OpenObject {
                object: Some(convert::object(&owner, file)),
                token: self.token(&ticket, end_ms)?,
                expires_at_ms: end_ms,
            });
        }
        Ok(pb::AccessResponse { objects })
    }

    /// What an attempt at our own machines may read by its delegation; none where the work is our own. A partner's
    /// reservation must be that partner's, and where the grant lists the tools that read, the attempt must have been
    /// admitted under that grant, so that its tool was looked at. compute-provider has verified the chain.
    async fn check_home(
        &self,
        request: &pb::AccessRequest,
        reservation: &Reservation,
        checked: Checked,
    ) -> Result<Option<Vec<Input>>, DataError> {
        if reservation.holder == self.owner().await? {
            return Ok(None);
        }
        let chain = chain_of(&request.delegation)?;
        let envelope = chain.grant.ok_or(DataError::Mismatch("grant"))?;
        let broken = |part: &str| {
            let part = part.to_owned();
            move |source| ChainError::Open { part, source }
        };
        let grant = Unverified::<Grant>::parse(&envelope).map_err(broken("the grant"))?;
        let grant = grant.claim();
        if grant.consumer != reservation.holder {
            return Err(DataError::Mismatch("consumer"));
        }
        if checked.lists_tools && grant.id.to_string() != reservation.grant_id {
            return Err(DataError::Mismatch("grant"));
        }
        let last = chain.links.last().ok_or(ChainError::length(0))?;
        let last = Unverified::<Delegation>::parse(last).map_err(broken("the delegation"))?;
        Ok(Some(last.claim().inputs.clone()))
    }

    fn token(&self, ticket: &Ticket, end_ms: u64) -> Result<String, DataError> {
        let identifier = serde_json::to_string(ticket).map_err(|reason| DataError::Json {
            what: "ticket",
            reason,
        })?;
        let macaroon = Macaroon::mint(&self.0.token_key, &identifier)
            .with(&Caveat::Input(vec![ticket.key.clone()]))
            .with(&Caveat::Time(end_ms))
            .with(&Caveat::Generation(ticket.generation));
        Ok(macaroon.to_text())
    }

    /// The authority of a partner's chain over this reservation.
    async fn authority(
        &self,
        caller: &Caller,
        request: &pb::AccessRequest,
        reservation: &Reservation,
    ) -> Result<Authority, DataError> {
        let chain = chain_of(&request.delegation)?;
        let owner = self.owner().await?;
        let network: Name = caller
            .network
            .as_deref()
            .unwrap_or_default()
            .parse()
            .map_err(|reason| DataError::name("a network", "", reason))?;
        let asking = Asking {
            owner: &owner,
            presenter: &caller.org,
            here: Here {
                network: &network,
                now_ms: self.clock().now_ms(),
            },
        };
        let organisations = organisations(&chain)?;
        let keys = self.key_sets(&organisations, false).await?;
        let authority = match verify_chain(&chain, &keys, &asking) {
            // A key that was replaced a moment ago: once more with what discovery knows now.
            Err(ChainError::Open { .. }) => {
                let keys = self.key_sets(&organisations, true).await?;
                verify_chain(&chain, &keys, &asking)?
            }
            other => other?,
        };
        let grant_id = authority.grant.as_ref().map(|grant| grant.id.to_string());
        for (what, same) in [
            ("consumer", authority.consumer == reservation.holder),
            (
                "grant",
                grant_id.unwrap_or_default() == reservation.grant_id,
            ),
            ("run", authority.run.to_string() == reservation.run_id),
            (
                "attempt",
                authority.attempt.to_string() == request.attempt_id,
            ),
        ] {
            if !same {
                return Err(DataError::Mismatch(what));
            }
        }
        Ok(authority)
    }

    async fn key_sets(
        &self,
        organisations: &[OrgId],
        anew: bool,
    ) -> Result<BTreeMap<OrgId, Arc<KeySet>>, DoorError> {
        let mut sets = BTreeMap::new();
        for org in organisations {
            let history = match anew {
                true => self.door().fetch_key_history(*org).await?,
                false => self.door().key_history(*org).await?,
            };
            sets.insert(*org, Arc::new(history.current().clone()));
        }
        Ok(sets)
    }

    /// The bytes of the file that a token opens, from `offset` on.
    ///
    /// # Errors
    /// When the token opens nothing, or the reservation or its grant has ended.
    pub(crate) async fn open_bulk(&self, token: &str, offset: u64) -> Result<Opened, DataError> {
        let macaroon = Macaroon::from_text(token)?;
        let ticket: Ticket =
            serde_json::from_slice(macaroon.identifier()).map_err(|reason| DataError::Json {
                what: "token",
                reason,
            })?;
        let generation = self.still_open(&ticket).await?;
        let ask = Ask {
            now_ms: self.clock().now_ms(),
            generation,
            work: None,
            access: Access::Read(&ticket.key),
        };
        macaroon.verify(&self.0.token_key, &ask)?;
        let info = self.0.objects.stat(&ticket.key).await?;
        if offset > info.length {
            let length = info.length;
            let key = ticket.key;
            return Err(ObjectError::Range { key, length }.into());
        }
        if ticket.leaves {
            self.count_egress(&ticket, info.length - offset).await?;
        }
        let bytes = match offset == info.length {
            true => futures::stream::empty().boxed(),
            false => {
                let range = Some(offset..info.length);
                self.0.objects.get(&ticket.key, range).await?.stream
            }
        };
        Ok(Opened {
            info,
            bytes: self.watched(bytes, ticket),
        })
    }

    /// The generation of the grant behind a ticket whose delegation and reservation hold.
    async fn still_open(&self, ticket: &Ticket) -> Result<u64, DataError> {
        if self.clock().now_ms() >= ticket.until_ms {
            return Err(DataError::DelegationEnded);
        }
        let reservation = self.reservation_of(ticket).await?;
        reservation.check(self.clock().now_ms())?;
        Ok(self.check_reservation_grant(&reservation).await?.generation)
    }

    async fn reservation_of(&self, ticket: &Ticket) -> Result<Reservation, DataError> {
        let held = self.0.reservations.get(&ticket.reservation).await?;
        let held = held.ok_or_else(|| DataError::NoReservation("of the token".to_owned()))?;
        Ok(held.value)
    }

    /// Counts what is about to be sent against the grant. What breaks off and is asked for again counts again:
    /// only the receiver knows how much of it came.
    async fn count_egress(&self, ticket: &Ticket, bytes: u64) -> Result<(), DataError> {
        let reservation = self.reservation_of(ticket).await?;
        let listing_id = crate::domain::listing_id(&reservation.dataset);
        let grants = &self.0.grants;
        grants
            .count_egress(
                &reservation.grant_id,
                &listing_id,
                &reservation.holder,
                bytes,
            )
            .await?;
        Ok(())
    }

    /// The same bytes, broken off when what the ticket rests on ends.
    fn watched(
        &self,
        bytes: BoxStream<'static, Result<Bytes, ObjectError>>,
        ticket: Ticket,
    ) -> BoxStream<'static, Result<Bytes, DataError>> {
        let begin = (self.clone(), bytes, ticket, Instant::now());
        let parts = try_unfold(
            begin,
            |(provider, mut bytes, ticket, mut checked)| async move {
                let pause = Duration::from_secs(provider.settings().recheck_seconds);
                if checked.elapsed() >= pause {
                    let current = provider.still_open(&ticket).await?;
                    if current != ticket.generation {
                        let shown = ticket.generation;
                        return Err(DataError::Generation { current, shown });
                    }
                    checked = Instant::now();
                }
                match bytes.next().await {
                    None => Ok(None),
                    Some(part) => Ok(Some((part?, (provider, bytes, ticket, checked)))),
                }
            },
        );
        parts.boxed()
    }
}

/// Tools in words.
fn tool_names(tools: &[Tool]) -> String {
    let name = |tool: &Tool| match tool {
        Tool::Listing { id, .. } => format!("`{id}`"),
        Tool::Digest(digest) => format!("the tool {digest}"),
    };
    match tools {
        [] => "nothing".to_owned(),
        tools => tools.iter().map(name).collect::<Vec<_>>().join(" or "),
    }
}

/// The chain in a request: the envelopes from the grant on, or from the first delegation where the owner
/// itself is the root.
fn chain_of(envelopes: &[Vec<u8>]) -> Result<Chain, DataError> {
    let first = envelopes.first().ok_or(ChainError::length(0))?;
    let broken = |source| ChainError::Open {
        part: "the first envelope".to_owned(),
        source,
    };
    let envelope = oc_trust::Envelope::from_json(first).map_err(broken)?;
    let links = |from: usize| envelopes[from..].to_vec();
    Ok(match envelope.payload_type == Grant::TYPE {
        true => Chain {
            grant: Some(first.clone()),
            links: links(1),
        },
        false => Chain {
            grant: None,
            links: links(0),
        },
    })
}

/// Whose keys a chain needs, as it claims. Nothing of it is believed yet.
fn organisations(chain: &Chain) -> Result<Vec<OrgId>, DataError> {
    let broken = |part: String| move |source| ChainError::Open { part, source };
    let mut organisations = Vec::new();
    if let Some(grant) = &chain.grant {
        let grant = Unverified::<Grant>::parse(grant).map_err(broken("the grant".to_owned()))?;
        organisations.extend([grant.claim().provider, grant.claim().consumer]);
    }
    if chain.links.len() > oc_trust::chain::MOST_LINKS {
        let found = chain.links.len();
        return Err(ChainError::length(found).into());
    }
    for (at, link) in chain.links.iter().enumerate() {
        let part = format!("delegation {}", at + 1);
        let link = Unverified::<Delegation>::parse(link).map_err(broken(part))?;
        organisations.push(link.claim().issuer);
    }
    Ok(organisations)
}
