//! From a request to a plan: listings, counts, grants and free capacity are asked for, nothing is held.

mod aside;
mod count;
mod filtered;
mod output;
mod passed;
mod scatter;
mod sites;
mod tools;
mod uploaded;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use oc_cwl::Document;
use oc_kernel::{GrantId, Money, OrgId};
use oc_proto::catalog::v1::Listing;
use oc_proto::pipeline::v1 as pb;
use oc_proto::types::v1 as types;
use oc_service::CallError;
use oc_service::access::Principal;
use oc_workflow::Steps;
use oc_workflow::data::{Input, ListingRef};
use oc_workflow::plan::{Access, InputData, Plan, Price, Question, Storage, plan_while};
use serde_json::Value;

use crate::context::Context;
use crate::documents::{Spec, SpecInput};
use crate::error::RunError;
use crate::{files, request};
use aside::aside;
use world::World;

/// What a plan is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be shown. Files of ours that say their size and checksum need not be there yet.
    Show,
    /// To be run.
    Run,
}

/// A request with its plan.
pub(crate) struct Planned {
    pub(crate) spec: Spec,
    pub(crate) plan: Plan,
    pub(crate) counted: Vec<pb::CountedInput>,
    /// By input the holder of data that must be reserved, and its name.
    pub(crate) needs: Vec<(String, OrgId, String)>,
}

/// Plans a request for a caller, in bounded time. It ends with the caller's request.
pub(crate) async fn plan_run(
    context: &Context,
    caller: &Principal,
    run: &str,
    asked: pb::RunRequest,
    purpose: Purpose,
) -> Result<Planned, RunError> {
    let limit = context.settings.plan_seconds;
    let planned = make_plan(context, caller, run, asked, purpose);
    let planned = tokio::time::timeout(Duration::from_secs(limit), planned).await;
    planned.unwrap_or(Err(RunError::Slow(limit)))
}

async fn make_plan(
    context: &Context,
    caller: &Principal,
    run: &str,
    asked: pb::RunRequest,
    purpose: Purpose,
) -> Result<Planned, RunError> {
    let now = context.clock.now();
    let (text, listed_name) = workflow_text(context, &asked).await?;
    let most_bytes = context.settings.document_bytes;
    let document = aside(move |_| request::document(&text, most_bytes)).await?;
    let placement = request::placement(&asked);
    let inputs = request::inputs(&document, asked.inputs)?;
    let me = context.door.identity().await?.clone();
    let grants = context.grants.all().await;
    let grants = grants.map_err(RunError::call("our grants cannot be read"))?;
    let disputes = world::disputes(context.books.as_ref(), &grants).await;
    let mut world = World {
        me,
        grants,
        disputes,
        unfit: BTreeMap::new(),
        looked_at: BTreeSet::new(),
        used: datasets(&inputs),
        output: None,
    };
    let output = asked.output.unwrap_or_default();
    let output = output::find(context, &mut world, output, now).await?;

    let mut spec = Spec {
        name: first_of([&asked.name, &listed_name, &document.process().id]),
        user: user_of(caller).0,
        user_name: user_of(caller).1,
        document: document.to_json(),
        inputs: resolve(context, caller, &world, &document, inputs, purpose).await?,
        output: output.destination,
        grants: BTreeMap::new(),
    };
    let values = spec
        .inputs
        .iter()
        .map(|(name, input)| (name.clone(), input.value.clone()));
    request::check_types(&document, &values.collect())?;
    passed::check(&document, &spec)?;
    world.unfit = tools::unfit(context, &world.grants, &spec).await?;

    let counted = count::count(context, &world, run, &spec, now).await?;
    let data = data_of(&world, &spec, &counted, now);
    tools::check(&mut world, &data)?;
    output::check_grant(&output.storage, &data)?;
    let lengths = lengths(&spec, &counted);
    scatter::check(&document, &lengths)?;
    let sites = sites::look(context, &world, run, &placement, now).await?;
    remember_grants(&mut spec, &data, &output.storage);
    let storage = output.storage;
    let plan = aside(move |given_up| {
        let steps = Steps::of(document.process(), &lengths);
        let question = Question {
            steps: &steps,
            data: &data,
            storage: &storage,
            sites: &sites,
            placement: &placement,
        };
        Ok(plan_while(&question, now, &|| !given_up.is_cancelled())?)
    });
    let mut plan = plan.await?;
    plan.warnings.extend(output.note);
    let needs = counted.iter().map(|one| {
        (
            one.message.input.clone(),
            one.of.owner,
            one.owner_name.clone(),
        )
    });
    Ok(Planned {
        needs: needs.collect(),
        counted: counted.into_iter().map(|one| one.message).collect(),
        spec,
        plan,
    })
}

fn datasets(inputs: &BTreeMap<String, Input>) -> Vec<ListingRef> {
    let datasets = inputs.values().filter_map(|input| match input {
        Input::Dataset { dataset, .. } => Some(dataset.clone()),
        _ => None,
    });
    datasets.collect()
}

fn first_of(names: [&String; 3]) -> String {
    let named = names.into_iter().find(|name| !name.is_empty());
    let name = named.map_or("workflow", String::as_str);
    name.chars().take(120).collect()
}

/// The id and the name of who asks.
pub(crate) fn user_of(caller: &Principal) -> (String, String) {
    match caller {
        Principal::User(user) => (user.id.clone(), user.name.clone()),
        Principal::Service(name) => (format!("service:{name}"), name.clone()),
        Principal::Anonymous | Principal::Partner(_) => Default::default(),
    }
}

/// The document, and the name of its listing where it has one.
async fn workflow_text(
    context: &Context,
    asked: &pb::RunRequest,
) -> Result<(String, String), RunError> {
    let Some(listed) = &asked.workflow else {
        return match asked.cwl.trim().is_empty() {
            true => Err(RunError::malformed(
                "cwl",
                "give a document or a listing to run",
            )),
            false => Ok((asked.cwl.clone(), String::new())),
        };
    };
    let found = context
        .catalogue
        .listing(&listed.owner, &listed.listing_id)
        .await;
    let found = found.map_err(RunError::call(format!("listing `{}`", listed.listing_id)))?;
    let body: Value = serde_json::from_str(&found.body_json).unwrap_or_default();
    match body.get("cwl").and_then(Value::as_str) {
        Some(cwl) => Ok((cwl.to_owned(), found.name)),
        None => Err(RunError::invalid(
            "workflow",
            format!("listing `{}` holds no CWL document", listed.listing_id),
        )),
    }
}

/// Looks up what inputs name, as far as nobody else must be asked.
async fn resolve(
    context: &Context,
    caller: &Principal,
    world: &World,
    document: &Document,
    inputs: BTreeMap<String, Input>,
    purpose: Purpose,
) -> Result<BTreeMap<String, SpecInput>, RunError> {
    let later = (purpose == Purpose::Show).then_some(world.me.org);
    let mut resolved = BTreeMap::new();
    for (name, input) in inputs {
        let type_ = document.process().input(&name).map(|input| &input.type_);
        let list = type_.is_some_and(request::takes_a_list);
        let (value, known) = match &input {
            Input::Value(value) => {
                let found = uploaded::in_value(context, caller, &name, value, later);
                let (value, files) = found.await?;
                (Some(files::in_list(value, list)), files)
            }
            Input::Dataset { .. } => (None, Vec::new()),
            Input::File { object, storage } => {
                let storage = storage.clone();
                let file = uploaded::named(context, caller, world, &name, object, storage).await?;
                (Some(files::in_list(files::file(object), list)), vec![file])
            }
            Input::RunOutput { run, output } => {
                let earlier = context.shelf.runs.get(&run.to_string()).await?;
                let earlier =
                    earlier.filter(|seen| crate::orchestrator::may_see(caller, &seen.value));
                let earlier = earlier
                    .ok_or_else(|| RunError::NoRun(run.to_string()))?
                    .value;
                let (value, files) = earlier.output(output).ok_or_else(|| {
                    let field = format!("inputs.{name}");
                    RunError::invalid(field, format!("run {run} has no output `{output}`"))
                })?;
                (Some(value), files)
            }
        };
        let spec = SpecInput {
            input,
            value,
            files: known,
            list,
        };
        resolved.insert(name, spec);
    }
    uploaded::apart(&resolved)?;
    Ok(resolved)
}

pub(super) fn late(who: &str) -> CallError {
    let text = format!("{who} did not answer in time");
    CallError::new(oc_kernel::Kind::Timeout, text)
}

pub(super) fn price_of(listing: &Listing) -> Price {
    price(listing.price.clone().unwrap_or_default())
}

fn price(price: types::Price) -> Price {
    Price {
        currency: price.currency,
        core_hour: Money(price.core_hour_micros),
        egress_gib: Money(price.egress_gib_micros),
    }
}

pub(super) fn grant_text(access: &Access) -> String {
    let id = |grant: GrantId| grant.to_string();
    access.grant().map(id).unwrap_or_default()
}

/// Inputs that are data, for the planner.
fn data_of(
    world: &World,
    spec: &Spec,
    counted: &[count::Counted],
    now: jiff::Timestamp,
) -> BTreeMap<String, InputData> {
    let datasets = counted.iter().map(|one| {
        let data = InputData {
            org: one.of.owner,
            name: one.owner_name.clone(),
            what: format!("dataset `{}`", one.of.listing),
            bytes: one.message.bytes,
            price: one.price.clone(),
            tools: world.tools(&one.of, now),
            egress_left: world.egress_left(&one.of, now),
            access: world.access(&one.of, now),
            under: world.covering(&one.of),
        };
        (one.message.input.clone(), data)
    });
    let files = spec.inputs.iter().filter_map(|(name, input)| {
        let first = input.files.first()?;
        let bytes = input.files.iter().map(|file| file.object.length);
        let owner = first.object.owner;
        let stored = first
            .listing
            .clone()
            .map(|listing| ListingRef { owner, listing });
        let data = InputData {
            org: owner,
            name: match owner == world.me.org {
                true => world.me.name.clone(),
                false => owner.short(),
            },
            what: "stored files".to_owned(),
            bytes: bytes.fold(0, u64::saturating_add),
            price: Price::default(),
            // A grant opens only what its consumer stored itself.
            tools: None,
            egress_left: stored
                .as_ref()
                .and_then(|stored| world.egress_left(stored, now)),
            under: stored
                .as_ref()
                .map(|stored| world.covering(stored))
                .unwrap_or_default(),
            access: stored.map_or(Access::Own, |stored| world.access(&stored, now)),
        };
        Some((name.clone(), data))
    });
    datasets.chain(files).collect()
}

/// Lengths of the inputs that are lists.
fn lengths(spec: &Spec, counted: &[count::Counted]) -> BTreeMap<String, u32> {
    let small = |length: u64| u32::try_from(length).unwrap_or(u32::MAX);
    let values = spec
        .inputs
        .iter()
        .filter_map(|(name, input)| match &input.value {
            Some(Value::Array(items)) => Some((name.clone(), small(items.len() as u64))),
            _ => None,
        });
    let datasets = counted.iter().filter(|one| one.list).map(|one| {
        let files = one.message.count.saturating_mul(one.assets.max(1) as u64);
        (one.message.input.clone(), small(files))
    });
    values.chain(datasets).collect()
}

fn remember_grants(spec: &mut Spec, data: &BTreeMap<String, InputData>, storage: &Storage) {
    let mut grants = BTreeMap::new();
    for (name, input) in &spec.inputs {
        let Some(grant) = data.get(name).and_then(|data| data.access.grant()) else {
            continue;
        };
        if let Input::Dataset { dataset, .. } = &input.input {
            let listing = format!("{}/{}", dataset.owner, dataset.listing);
            grants.insert(listing, grant.to_string());
        }
        for file in &input.files {
            if let Some(listing) = &file.listing {
                let listing = format!("{}/{listing}", file.object.owner);
                grants.insert(listing, grant.to_string());
            }
        }
    }
    if let Some(grant) = storage.access.grant() {
        grants.insert(
            format!("{}/{}", storage.org, storage.listing),
            grant.to_string(),
        );
    }
    spec.grants = grants;
}
