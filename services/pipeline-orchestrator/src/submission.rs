//! What a site is handed: the fragment, its job, and the authority over each thing it reads and writes.
//!
//! One chain for each owner. The site's own things are opened by the chain of the submission, rooted in
//! the grant; the things of others by chains of their own, rooted in the owner's grant or in ourselves.

use std::collections::{BTreeMap, BTreeSet};

use oc_kernel::{AttemptId, Digest, FragmentId, Name, NameError, ObjectKey, OrgId, RunId};
use oc_proto::compute::v1::Grant as GrantMessage;
use oc_proto::federation::v1::{FragmentSpec, OutputTarget, StagedInput, SubmitRequest};
use oc_trust::{Delegation, Grant, Limits, seal};
use oc_workflow::data::Destination;
use oc_workflow::run::{AttemptRef, attempt_id, fragment_id};
use serde_json::Value;
use uuid::Uuid;

use crate::context::Context;
use crate::documents::{Pseudonym, RunDocument};
use crate::driver::CallFailure;
use crate::files::{self, Staged, Staging, object_message};
use crate::root::{Root, granted};

/// Authority lasts this much longer than the attempt may run, in ms: staging, storing, clocks.
const MARGIN_MS: u64 = 15 * 60 * 1000;

/// The attempt that is handed over.
struct Attempt<'a> {
    document: &'a RunDocument,
    at: AttemptRef,
    site: OrgId,
    listing: Name,
    request: Digest,
    inputs: &'a [Staged],
    prefix: ObjectKey,
}

/// The submission of an attempt, the same bytes each time.
pub(crate) async fn submission(
    context: &Context,
    document: &RunDocument,
    at: AttemptRef,
    reservation: &str,
) -> Result<SubmitRequest, CallFailure> {
    let run = document.run.id();
    let key = format!("{run}/{}", attempt_id(run, at));
    if let Some(known) = context.shelf.submissions.get(&key).await? {
        return Ok(known.value);
    }
    let made = make(context, document, at, reservation).await?;
    match context
        .shelf
        .submissions
        .create(&key, &made, Vec::new())
        .await
    {
        Ok(_) => Ok(made),
        // Another try of the same was faster.
        Err(error) => match context.shelf.submissions.get(&key).await? {
            Some(known) => Ok(known.value),
            None => Err(error.into()),
        },
    }
}

async fn make(
    context: &Context,
    document: &RunDocument,
    at: AttemptRef,
    reservation: &str,
) -> Result<SubmitRequest, CallFailure> {
    let run = document.run.id();
    let index = at.fragment as usize;
    let attempt = document.run.attempt(at);
    let place = &attempt
        .ok_or_else(|| CallFailure::defect("the attempt is gone"))?
        .place;
    let workflow = document.workflow()?;
    let fragment = document.fragment(&workflow, index)?;
    let job = Value::Object(document.job(&workflow, &fragment)?);
    let mut staging = Staging::default();
    let job = staging
        .rename(&job, &document.known_files())
        .map_err(CallFailure::defect)?;
    let inputs = staging.into_files();

    let cwl = fragment.document.to_json();
    let value: Value = serde_json::from_str(&cwl).map_err(CallFailure::defect)?;
    let checksums: BTreeMap<String, Digest> = inputs
        .iter()
        .map(|one| (one.name.clone(), one.file.object.sha256))
        .collect();
    let digest = oc_workflow::work_digest(&value, &checksums);

    let (fragment_id, attempt_id) = (fragment_id(run, at.fragment), attempt_id(run, at));
    let output = &document.spec.output;
    if output.storage.owner == document.run.org() {
        // Said before the work is handed out: nobody else knows the user, and partners shall not.
        let user = &document.spec.user;
        context.objects.give_to(run, user).await?;
    }
    let prefix = prefix_of(output, run, fragment_id, attempt_id);
    let attempt = Attempt {
        document,
        at,
        site: place.org,
        listing: place.listing.clone(),
        request: digest,
        inputs: &inputs,
        prefix: prefix.map_err(CallFailure::defect)?,
    };
    let grant = place
        .grant
        .map(|grant| grant.to_string())
        .unwrap_or_default();
    let chains = Chains::make(context, &attempt, &grant).await?;
    let pseudonym = pseudonym(context, &document.spec.user, &grant).await?;
    let staged = inputs.iter().map(|one| StagedInput {
        name: one.name.clone(),
        basename: one.basename.clone(),
        object: Some(object_message(&one.file.object)),
        reservation_id: one.file.reservation.clone().unwrap_or_default(),
        delegation: chains.of(&one.file.object.owner),
    });
    Ok(SubmitRequest {
        reservation_id: reservation.to_owned(),
        operation_id: "submit".to_owned(),
        delegation: chains.main.clone(),
        fragment: Some(FragmentSpec {
            run_id: run.to_string(),
            fragment_id: fragment_id.to_string(),
            attempt_id: attempt_id.to_string(),
            cwl_json: cwl,
            job_json: job.to_string(),
            inputs: staged.collect(),
            output: Some(OutputTarget {
                owner: output.storage.owner.to_string(),
                listing_id: output.storage.listing.to_string(),
                prefix: attempt.prefix.to_string(),
                delegation: chains.of(&output.storage.owner),
            }),
            pseudonym,
            workflow: document.spec.name.clone(),
            digest: digest.to_string(),
        }),
    })
}

/// Where an attempt writes: nothing but its outputs lies below it.
///
/// # Errors
/// When the key would be too long.
pub(crate) fn prefix_of(
    output: &Destination,
    run: RunId,
    fragment: FragmentId,
    attempt: AttemptId,
) -> Result<ObjectKey, NameError> {
    output.prefix.join(&format!("{run}/{fragment}/{attempt}"))
}

/// The chains of one submission.
struct Chains {
    site: OrgId,
    main: Vec<Vec<u8>>,
    others: BTreeMap<OrgId, Vec<Vec<u8>>>,
}

impl Chains {
    async fn make(
        context: &Context,
        attempt: &Attempt<'_>,
        grant: &str,
    ) -> Result<Self, CallFailure> {
        let me = attempt.document.run.org();
        if attempt.site == me && attempt.owners().iter().all(|owner| *owner == me) {
            // Our own services need no authority over our own things.
            return Ok(Self {
                site: me,
                main: Vec::new(),
                others: BTreeMap::new(),
            });
        }
        let grants = context.grants.all().await?;
        let root = match grant {
            "" => None,
            id => Some(granted(&grants, id)?),
        };
        let network = match &root {
            Some(root) => root.claim.network.clone(),
            None => attempt.network(&grants)?,
        };
        let main = match attempt.site == me {
            true => Vec::new(),
            false => {
                attempt
                    .chain(context, attempt.site, root.as_ref(), &network)
                    .await?
            }
        };
        let mut others = BTreeMap::new();
        for owner in attempt.owners() {
            if owner == attempt.site {
                continue;
            }
            let root = match owner == me {
                true => None,
                false => Some(granted(&grants, attempt.grant_of(&owner)?)?),
            };
            let chain = attempt
                .chain(context, owner, root.as_ref(), &network)
                .await?;
            others.insert(owner, chain);
        }
        Ok(Self {
            site: attempt.site,
            main,
            others,
        })
    }

    /// The chain that opens things of an owner at the site; empty where the submission's own does.
    fn of(&self, owner: &OrgId) -> Vec<Vec<u8>> {
        match *owner == self.site {
            true => Vec::new(),
            false => self.others.get(owner).cloned().unwrap_or_default(),
        }
    }
}

impl Attempt<'_> {
    /// Everyone whose things are read or written.
    fn owners(&self) -> BTreeSet<OrgId> {
        let inputs = self.inputs.iter().map(|one| one.file.object.owner);
        inputs
            .chain([self.document.spec.output.storage.owner])
            .collect()
    }

    /// The grant by which we use things of an owner that is not the site.
    fn grant_of(&self, owner: &OrgId) -> Result<&str, CallFailure> {
        let prefix = format!("{owner}/");
        let mut grants = self.document.spec.grants.iter();
        let found = grants.find(|(listing, _)| listing.starts_with(&prefix));
        let text = || format!("there is no grant of {}", owner.short());
        found
            .map(|(_, grant)| grant.as_str())
            .ok_or_else(|| CallFailure::no_grant(text()))
    }

    /// A network that the things of others are reached through.
    fn network(&self, grants: &[GrantMessage]) -> Result<Name, CallFailure> {
        let owner = self
            .owners()
            .into_iter()
            .find(|owner| *owner != self.document.run.org());
        let owner = owner.ok_or_else(|| CallFailure::defect("nothing is of another"))?;
        Ok(granted(grants, self.grant_of(&owner)?)?.claim.network)
    }

    /// A chain of one link: `owner` lets us, and we let the site.
    async fn chain(
        &self,
        context: &Context,
        owner: OrgId,
        root: Option<&Root>,
        network: &Name,
    ) -> Result<Vec<Vec<u8>>, CallFailure> {
        let document = self.document;
        let run = document.run.id();
        let now = context.clock.now_ms();
        let plan = &document.run.plan().fragments[self.at.fragment as usize];
        let wanted = Limits {
            cores: plan.resources.cores,
            memory_bytes: plan.resources.memory_bytes,
            fragments: 1,
            core_seconds: u64::from(plan.resources.cores).saturating_mul(plan.wall_seconds),
            egress_bytes: context.settings.attempt_output_bytes,
            storage_bytes: context.settings.attempt_output_bytes,
            run_wall_seconds: plan.wall_seconds,
        };
        let end = now + plan.wall_seconds.saturating_mul(1000) + MARGIN_MS;
        let (limits, end) = match root {
            Some(root) => (
                self.within(&root.claim, wanted),
                end.min(root.claim.not_after),
            ),
            None => (wanted, end),
        };
        // The site must see all it is to fetch and where it writes; another owner only its own.
        let whole = owner == self.site;
        let output = &document.spec.output.storage;
        let inputs = self
            .inputs
            .iter()
            .filter(|one| whole || one.file.object.owner == owner);
        let delegation = Delegation {
            network: network.clone(),
            parent: root.map(|root| root.digest),
            issuer: document.run.org(),
            audience: self.site,
            run,
            fragment: fragment_id(run, self.at.fragment),
            attempt: attempt_id(run, self.at),
            request: self.request,
            offer: whole.then(|| self.listing.clone()),
            inputs: inputs.map(|one| files::delegated(&one.file)).collect(),
            output: (whole || output.owner == owner).then(|| oc_trust::Output {
                owner: output.owner,
                listing: Some(output.listing.clone()),
                prefix: self.prefix.clone(),
            }),
            limits,
            not_before: now,
            not_after: end,
        };
        let sealed = seal(&context.door, delegation).await?;
        let grant = root.map(|root| root.envelope.clone());
        Ok(grant.into_iter().chain([sealed.bytes().to_vec()]).collect())
    }

    /// No more than the grant gives for any listing that is used.
    fn within(&self, grant: &Grant, wanted: Limits) -> Limits {
        let provider = grant.provider;
        let output = &self.document.spec.output.storage;
        let inputs = self.inputs.iter().map(|one| &one.file);
        let inputs = inputs.filter(|file| file.object.owner == provider);
        let used = inputs
            .filter_map(|file| file.listing.as_ref())
            .chain((self.site == provider).then_some(&self.listing))
            .chain((output.owner == provider).then_some(&output.listing));
        let bounds = used.filter_map(|id| grant.listing(id));
        let bounds = bounds.fold(grant.limits, |bounds, listing| {
            bounds.meet(&grant.limits_for(listing))
        });
        wanted.meet(&bounds)
    }
}

/// Who a user is under a grant (empty for our own work): random, and the same each time.
pub(crate) async fn pseudonym(
    context: &Context,
    user: &str,
    grant: &str,
) -> Result<String, CallFailure> {
    let under = if grant.is_empty() { "own" } else { grant };
    let key = format!("{user}/{under}");
    if let Some(known) = context.shelf.pseudonyms.get(&key).await? {
        return Ok(known.value.pseudonym);
    }
    let pseudonym = format!("user-{}", Uuid::new_v4().simple());
    let made = Pseudonym { pseudonym };
    match context
        .shelf
        .pseudonyms
        .create(&key, &made, Vec::new())
        .await
    {
        Ok(_) => Ok(made.pseudonym),
        // Another run of the same user was faster.
        Err(_) => Ok(context
            .shelf
            .pseudonyms
            .require(&key)
            .await?
            .value
            .pseudonym),
    }
}
