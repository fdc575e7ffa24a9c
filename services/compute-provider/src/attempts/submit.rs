//! Starting an attempt: admission, the documents it needs, and its lease.

use std::collections::{BTreeMap, BTreeSet};

use oc_kernel::{AttemptId, Digest, GrantId, LeaseId, Name, OrgId, ReservationId};
use oc_store::{Expect, Versioned};
use oc_trust::{Authority, Tool};
use oc_workflow::listed;

use super::hold::{Consumer, unexpected};
use crate::documents::{Attempt, Input, Payload, Recorded, RecordedEvent, attempt_key};
use crate::domain::admission::{Refusal, Submission, admit_submission, can_run};
use crate::domain::attempt::OperationKey;
use crate::domain::egress::EgressLimits;
use crate::domain::fragment::{Fragment, FragmentError, listed_digest};
use crate::domain::grant::Grant;
use crate::domain::lease::Challenge;
use crate::domain::ledger::{Command, Demand, LedgerError, Outcome, Submit, Under};
use crate::domain::offer::Offer;
use crate::domain::runtime::{OutputPrefix, Role};
use crate::error::Error;
use crate::provider::Provider;

/// How much longer our own work's authority lasts than the work may take, in ms.
const OWN_MARGIN_MS: u64 = 3_600_000;

/// An attempt that is submitted, as it was read.
#[derive(Debug, Clone)]
pub(crate) struct NewAttempt {
    pub(crate) consumer: Consumer,
    pub(crate) network: Option<Name>,
    pub(crate) key: OperationKey,
    pub(crate) body: Digest,
    pub(crate) reservation: ReservationId,
    pub(crate) delegation: Vec<Vec<u8>>,
    pub(crate) document: String,
    pub(crate) job: String,
    pub(crate) inputs: Vec<Input>,
    pub(crate) output: OutputPrefix,
    pub(crate) output_delegation: Vec<String>,
    pub(crate) pseudonym: Name,
    pub(crate) workflow: String,
    /// The digest of the work, as the consumer computed it.
    pub(crate) digest: String,
}

/// The attempt has its lease.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Submitted {
    pub(crate) lease: LeaseId,
    pub(crate) challenge: Challenge,
}

/// By which right an attempt is started, and within what.
struct Right {
    grant: Option<Grant>,
    egress: Option<EgressLimits>,
    until_ms: u64,
}

impl Provider {
    /// Starts an attempt. The same submission again gets the same lease.
    pub(crate) async fn submit(&self, new: NewAttempt) -> Result<Submitted, Error> {
        let submitted = self.try_submit(new).await;
        let label = if submitted.is_ok() {
            "admitted"
        } else {
            "refused"
        };
        self.metrics.submissions.with_label_values(&[label]).inc();
        submitted
    }

    async fn try_submit(&self, new: NewAttempt) -> Result<Submitted, Error> {
        let key = attempt_key(&new.consumer.org, &new.key.attempt.attempt);
        let payload = payload_of(&new)?;
        let known = self.shelf.attempts.get(&key).await?;
        // What is written down was admitted; the ledger knows whether it has begun.
        let attempt = match known {
            Some(seen) if self.same_payload(&key, &payload).await? => seen.value,
            known => self.admit(&new, &payload, known).await?,
        };
        let (lease, offer) = (attempt.lease, attempt.offer.clone());
        let terms = self.settings.lease();
        // Watched before it exists, so that none is ever without a watch.
        let challenge = self.leases.begin(lease, terms, self.monotonic());
        let submit = Submit {
            key: new.key,
            body: new.body,
            reservation: new.reservation,
            lease,
            payload: payload.digest(),
        };
        let outcome = match self.ledgers.apply(&offer, Command::Submit(submit)).await {
            Ok(outcome) => outcome,
            Err(error) => {
                if self.ledgers.read(&offer).await?.lease(&lease).is_none() {
                    self.leases.end(&lease);
                }
                return Err(error);
            }
        };
        let Outcome::Leased { lease } = outcome else {
            return Err(unexpected(&outcome));
        };
        if self.logs.next_number(&attempt.key).await? == 1 {
            let at = self.clock.now();
            let begun = Recorded {
                at,
                event: RecordedEvent::Submitted,
            };
            self.logs.append(&attempt.key, vec![begun]).await?;
        }
        self.wake_supervisor.notify_one();
        Ok(Submitted { lease, challenge })
    }

    async fn same_payload(&self, key: &str, payload: &Payload) -> Result<bool, Error> {
        let found = self.shelf.payloads.get(key).await?;
        Ok(found.is_some_and(|seen| seen.value == *payload))
    }

    /// Decides whether the attempt may start, and writes down what it needs.
    async fn admit(
        &self,
        new: &NewAttempt,
        payload: &Payload,
        known: Option<Versioned<Attempt>>,
    ) -> Result<Attempt, Error> {
        let attempt = new.key.attempt;
        let (offer, demand, under) = self.held(&new.reservation, new).await?;
        if let Some(known) = known
            && self.has_begun(&known.value).await?
        {
            return Err(LedgerError::AttemptTaken { attempt }.into());
        }
        let work = self.read_work(new).await?;
        can_run(&work, &self.sandbox)?;
        check_prefix(&new.output, &attempt.attempt)?;
        let right = if new.consumer.own {
            let until_ms = self.clock.now_ms() + demand.wall_ms + OWN_MARGIN_MS;
            Right {
                grant: None,
                egress: None,
                until_ms,
            }
        } else {
            self.right_of_partner(new, &offer, &demand, &under, &work)
                .await?
        };
        let document = Attempt {
            key: attempt,
            offer: offer.name.clone(),
            grant: right.grant.as_ref().map(|grant| grant.id),
            under,
            lease: LeaseId::new(),
            demand,
            egress: right.egress,
            price: right
                .grant
                .and_then(|grant| grant.agreed)
                .map(|agreed| agreed.price),
            until_ms: right.until_ms,
            pseudonym: new.pseudonym.clone(),
            workflow: new.workflow.clone(),
            output: new.output.clone(),
            report: None,
            closing: None,
            ended_ms: None,
        };
        let key = attempt_key(&attempt.org, &attempt.attempt);
        // The attempt first: what its grant leaves behind is found by it.
        self.shelf
            .attempts
            .put(&key, &document, Expect::Any, Vec::new())
            .await?;
        self.shelf
            .payloads
            .put(&key, payload, Expect::Any, Vec::new())
            .await?;
        Ok(document)
    }

    /// The offer, the demand and the right behind a reservation that is held for this attempt.
    async fn held(
        &self,
        reservation: &ReservationId,
        new: &NewAttempt,
    ) -> Result<(Offer, Demand, Under), Error> {
        let now = self.clock.now();
        for ledger in self.ledgers.all().await? {
            let found = ledger.holds().find(|(id, hold)| {
                *id == reservation && hold.attempt == new.key.attempt && hold.expires_at > now
            });
            if let Some((_, hold)) = found {
                let offer = self
                    .shelf
                    .offers
                    .require(ledger.offer().as_str())
                    .await?
                    .value;
                return Ok((offer, hold.demand, hold.under));
            }
        }
        Err(LedgerError::NoReservation {
            reservation: *reservation,
        }
        .into())
    }

    /// True once an attempt of this key has had a lease.
    async fn has_begun(&self, known: &Attempt) -> Result<bool, Error> {
        if known.ended_ms.is_some() || known.closing.is_some() {
            return Ok(true);
        }
        let ledger = match self.ledgers.read(&known.offer).await {
            Ok(ledger) => ledger,
            Err(Error::Unknown { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let ended = ledger
            .ended()
            .iter()
            .any(|ended| ended.attempt == known.key);
        Ok(ended || ledger.lease_of(&known.key).is_some())
    }

    /// Reads the fragment, off the threads that serve requests: it may be large.
    async fn read_work(&self, new: &NewAttempt) -> Result<Fragment, Error> {
        let inputs: BTreeMap<String, Digest> = new
            .inputs
            .iter()
            .map(|input| (input.object.name.to_string(), input.object.sha256))
            .collect();
        let document = new.document.clone();
        let read = tokio::task::spawn_blocking(move || Fragment::read(&document, &inputs)).await;
        let work = read.map_err(|error| Error::Unavailable(error.to_string()))??;
        if work.work.to_string() != new.digest {
            let named = new.digest.chars().take(80).collect();
            return Err(FragmentError::Digest {
                found: work.work,
                named,
            }
            .into());
        }
        Ok(work)
    }

    async fn right_of_partner(
        &self,
        new: &NewAttempt,
        offer: &Offer,
        demand: &Demand,
        under: &Under,
        work: &Fragment,
    ) -> Result<Right, Error> {
        let id: GrantId = under.grant().ok_or(Refusal::NoGrant)?;
        let me = self.me().await?;
        let grant = self.grant_for(&id, &new.consumer.org).await?.value.grant;
        let authority = self
            .authorities
            .verify(&new.delegation, &me, new.network.as_ref())
            .await?;
        let listed = match grant
            .agreed
            .as_ref()
            .and_then(|agreed| agreed.tools.as_deref())
        {
            Some(tools) => Some(self.listed(tools, &me).await?),
            None => None,
        };
        let listing = offer.listing_id()?;
        let attempt = new.key.attempt;
        let submission = Submission {
            run: attempt.run,
            fragment: attempt.fragment,
            attempt: attempt.attempt,
            listing: &listing,
            demand,
            work,
        };
        let org = &new.consumer.org;
        let now = self.clock.now();
        let egress = admit_submission(org, &authority, &grant, &submission, listed.as_ref(), now)?;
        covered(new, &authority)?;
        if listed.is_some() {
            nothing_beside(new, &me)?;
        }
        self.check_own_inputs(new, &authority, &me).await?;
        Ok(Right {
            grant: Some(grant),
            egress: Some(egress),
            until_ms: authority.not_after,
        })
    }

    /// Objects of our storage offers lie where the delegation says: in the listing it names, or in what the
    /// consumer's own run left here.
    async fn check_own_inputs(
        &self,
        new: &NewAttempt,
        authority: &Authority,
        me: &OrgId,
    ) -> Result<(), Error> {
        for input in new.inputs.iter().map(|input| &input.object) {
            if input.owner == *me && input.role == Role::Objects {
                self.readable(authority, &input.object).await?;
            }
        }
        Ok(())
    }

    /// The digests of what a grant lists. A listing of another allows nothing: it is not ours to say what it holds.
    async fn listed(&self, tools: &[Tool], me: &OrgId) -> Result<BTreeSet<Digest>, Error> {
        let mut listed = BTreeSet::new();
        for tool in tools {
            match tool {
                Tool::Digest(digest) => {
                    listed.insert(*digest);
                }
                Tool::Listing { owner, .. } if owner != me => {}
                Tool::Listing { owner, id } => {
                    // A listing that is gone, or holds no CWL any more, allows nothing.
                    let Some(listing) = self.ports.listing(owner, id).await? else {
                        continue;
                    };
                    let body: serde_json::Value =
                        serde_json::from_str(&listing.body_json).unwrap_or_default();
                    if let Some(cwl) = body.get("cwl").and_then(|cwl| cwl.as_str()) {
                        listed.extend(listed_digest(cwl));
                    }
                }
            }
        }
        Ok(listed)
    }
}

/// A listed tool reads datasets of ours and nothing else. What its consumer could choose freely, a file of its own or
/// one written into the job, might be chosen so that the tool's results tell the data.
fn nothing_beside(new: &NewAttempt, me: &OrgId) -> Result<(), Error> {
    let others = |input: &&Input| input.object.owner != *me || input.object.role != Role::Data;
    if let Some(input) = new.inputs.iter().find(others) {
        return Err(Refusal::Beside(input.object.name.to_string()).into());
    }
    let job: serde_json::Value = serde_json::from_str(&new.job).unwrap_or_default();
    match listed::written_in(&job) {
        true => Err(Refusal::Beside("a file written into the job".to_owned()).into()),
        false => Ok(()),
    }
}

/// Everything the attempt reads and writes stands in the delegation, whoever owns it: so nobody can use this
/// site to fetch or to place something that was not signed for.
fn covered(new: &NewAttempt, authority: &Authority) -> Result<(), Error> {
    for input in new.inputs.iter().map(|input| &input.object) {
        let listed = authority.inputs.iter().any(|it| {
            it.owner == input.owner && it.object == input.object && it.sha256 == input.sha256
        });
        if !listed {
            let text = format!("the delegation does not let `{}` be read", input.object);
            return Err(Error::Forbidden(text));
        }
    }
    let output = &new.output;
    let listed = authority.output.as_ref().is_some_and(|it| {
        it.owner == output.owner
            && it.prefix == output.prefix
            && it.listing.as_ref() == output.listing.as_ref()
    });
    if !listed {
        let text = format!("the delegation does not let `{}` be written", output.prefix);
        return Err(Error::Forbidden(text));
    }
    Ok(())
}

/// One attempt, one prefix: two attempts never mix what they write.
pub(crate) fn check_prefix(output: &OutputPrefix, attempt: &AttemptId) -> Result<(), Error> {
    if output.prefix.file_name() == attempt.to_string() {
        return Ok(());
    }
    Err(Error::Invalid {
        field: "output.prefix",
        reason: format!("it must end with the attempt's id, {attempt}"),
    })
}

fn payload_of(new: &NewAttempt) -> Result<Payload, Error> {
    let delegation = new.delegation.iter().map(|envelope| {
        String::from_utf8(envelope.clone()).map_err(|_| Error::Malformed {
            field: "delegation",
            reason: "an envelope is JSON".to_owned(),
        })
    });
    Ok(Payload {
        document: new.document.clone(),
        job: new.job.clone(),
        inputs: new.inputs.clone(),
        output: new.output.clone(),
        output_delegation: new.output_delegation.clone(),
        delegation: delegation.collect::<Result<_, Error>>()?,
    })
}
