//! `opencloud plan` and `opencloud run`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use oc_client::ClientError;
use oc_kernel::{Classify as _, Kind, Money};
use oc_proto::pipeline::v1::{
    ListingRef, OutputPlace, PlanRunResponse, Run, RunRequest, RunState, StartRunRequest,
};

use super::names::Names;
use super::output::{hint, safe};
use super::query::QueryArguments;
use super::run_input::JobFile;
use super::upload::Uploads;
use super::workflow::{self, Outline};
use super::{
    CommandError, Context, Outcome, default_files, document, find, follow, results, run_input,
    runs, size,
};

/// What to run, on what, and where to.
#[derive(Debug, Args)]
pub(crate) struct WhatArguments {
    /// A CWL document, with what it names in its folder and below, or OWNER/LISTING of a workflow or processing service
    workflow: String,
    /// YAML or JSON file with the inputs: a CWL input object, in which also datasets and outputs of earlier runs may
    /// stand; a run uploads the files that it names in its folder and below
    #[arg(long, value_name = "FILE")]
    inputs: Option<PathBuf>,
    /// The file of --inputs may name any file that you may read
    #[arg(long, requires = "inputs")]
    allow_outside: bool,
    /// An input: NAME=VALUE with a value or JSON, NAME=@PATH for a file or folder, which a run uploads, or
    /// NAME=dataset:OWNER/LISTING#ASSET,ASSET; may be repeated, wins over --inputs
    #[arg(long = "input", value_name = "NAME=VALUE")]
    single: Vec<String>,
    // For every input that is a dataset and does not say it itself.
    #[command(flatten)]
    query: QueryArguments,
    /// Storage for the results, NAME of ours or OWNER/LISTING [default: that of ours with the most room]
    #[arg(long, value_name = "LISTING")]
    storage: Option<String>,
    /// Prefix of the results' keys
    #[arg(long, default_value = "", hide_default_value = true)]
    prefix: String,
    /// Run a step at a certain organisation, STEP=ORGANISATION; may be repeated. A tool without a workflow is one
    /// step, `main`
    #[arg(long = "at", value_name = "STEP=ORGANISATION")]
    placement: Vec<String>,
    /// Name for people and for the books [default: the document's file name]
    #[arg(long)]
    name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    what: WhatArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    what: WhatArguments,
    /// Start it and return at once; Ctrl-C does the same later
    #[arg(long)]
    detach: bool,
    /// No progress
    #[arg(short, long)]
    quiet: bool,
}

impl WhatArguments {
    /// What is asked for, with the files of this machine that it names, none of which is uploaded yet.
    async fn request<'a>(
        &'a self,
        context: &'a Context,
    ) -> Result<(RunRequest, Uploads<'a>), CommandError> {
        let path = Path::new(&self.workflow);
        let there = document::is_there(path);
        if is_meant_as_file(path) && !there {
            return Err(CommandError::input(format!(
                "{}: no such file; name a CWL document, or a workflow as OWNER/LISTING",
                path.display()
            )));
        }
        let mut document = None;
        let (cwl, workflow, name) = if there {
            let stem = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or("workflow");
            let (cwl, loaded) = document::load_for_node(path)?;
            document = loaded;
            (cwl, None, stem.to_owned())
        } else {
            let (owner, listing_id) = find::listing_ref(context, &self.workflow).await?;
            let name = listing_id.clone();
            (String::new(), Some(ListingRef { owner, listing_id }), name)
        };
        let mut uploads = Uploads::new(context, self.storage.as_deref());
        let file = self.inputs.as_deref().map(|path| JobFile {
            path,
            allow_outside: self.allow_outside,
        });
        let file = file.as_ref();
        let inputs =
            run_input::read(context, file, &self.single, &self.query, &mut uploads).await?;
        if let Some(document) = &document {
            default_files::refuse(document, |input| inputs.contains_key(input))?;
        }
        let storage = match &self.storage {
            Some(text) => {
                let (owner, listing_id) = find::storage_ref(context, text).await?;
                Some(ListingRef { owner, listing_id })
            }
            None => None,
        };
        let mut placement = BTreeMap::new();
        for text in &self.placement {
            let (step, org) = text.split_once('=').ok_or_else(|| {
                CommandError::input(format!("`{text}` is no placement: write STEP=ORGANISATION"))
            })?;
            placement.insert(step.to_owned(), find::usable(context, org).await?);
        }
        let request = RunRequest {
            cwl,
            workflow,
            inputs,
            output: Some(OutputPlace {
                storage,
                prefix: self.prefix.clone(),
            }),
            placement,
            name: self.name.clone().unwrap_or(name),
            ..RunRequest::default()
        };
        Ok((request, uploads))
    }
}

/// A path that nobody would give a listing as its name.
fn is_meant_as_file(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let extension = extension.map(|it| it.split_once('#').map_or(it, |(it, _)| it));
    matches!(extension, Some("cwl" | "yml" | "yaml" | "json"))
        || path.is_absolute()
        || path.starts_with(".")
        || path.starts_with("..")
}

pub(crate) async fn plan(context: &Context, arguments: PlanArguments) -> Outcome {
    let (request, uploads) = arguments.what.request(context).await?;
    let plan = match context.client.pipeline().plan(&request).await {
        Ok(plan) => plan,
        Err(error) => return Err(refused(context, &request, error).await),
    };
    uploads.fit().await?;
    let names = Names::of(context).await;
    context.output.show(&plan, |plan| show_plan(plan, &names))
}

pub(crate) async fn run(context: &Context, arguments: RunArguments) -> Outcome {
    let (request, uploads) = arguments.what.request(context).await?;
    let run = match begin(context, request.clone(), &uploads).await {
        Err(CommandError::Client(error)) => return Err(refused(context, &request, error).await),
        begun => begun?,
    };
    if arguments.detach {
        return context.output.show(&run, |run| {
            anstream::println!("{}", run.run_id);
            hint(&runs::watch(&run.run_id));
        });
    }
    let quiet = arguments.quiet || context.output.is_json();
    let run = tokio::select! {
        biased;
        Ok(()) = tokio::signal::ctrl_c() => return Err(CommandError::Left(goes_on(&run.run_id))),
        over = over(context, &run.run_id, quiet) => over?,
    };
    context.output.show(&run, runs::show)?;
    match run.state() {
        RunState::Succeeded if context.output.is_json() => Ok(()),
        RunState::Succeeded => results::given(context, &run.run_id).await,
        _ => Err(CommandError::Failed(format!(
            "the run did not succeed: see `opencloud explain {}`",
            run.run_id
        ))),
    }
}

/// Starts a run, after a yes where it costs something. Files of this machine go up when all the rest is right.
async fn begin(
    context: &Context,
    request: RunRequest,
    uploads: &Uploads<'_>,
) -> Result<Run, CommandError> {
    let pipeline = context.client.pipeline();
    if !context.yes || !uploads.is_empty() {
        let plan = pipeline.plan(&request).await?;
        uploads.fit().await?;
        if plan.cost_micros > 0 {
            context.confirm(&format!("This costs {}. Start it?", cost(&plan)))?;
        }
    }
    uploads.send().await?;
    let start = StartRunRequest {
        run: Some(request),
        operation_id: String::new(),
    };
    Ok(pipeline.start(&start).await?)
}

/// A refusal with what the workflow takes, where its inputs are at fault.
async fn refused(context: &Context, request: &RunRequest, error: ClientError) -> CommandError {
    if !matches!(error.kind(), Kind::Invalid | Kind::Malformed) {
        return error.into();
    }
    let cwl = match &request.workflow {
        None => Some(request.cwl.clone()),
        Some(workflow) => {
            let (owner, listing) = (&workflow.owner, &workflow.listing_id);
            let found = context.client.catalog().listing(owner, listing).await.ok();
            found.and_then(|answer| workflow::document(&answer.listing?.body_json))
        }
    };
    let outline = cwl.and_then(|cwl| Outline::of(&cwl));
    let advice = outline.as_ref().and_then(|outline| outline.advice(request));
    match (outline, advice) {
        (Some(outline), Some(advice)) => CommandError::Inputs {
            error,
            takes: outline.takes(),
            advice,
        },
        _ => error.into(),
    }
}

/// The run when it is over.
async fn over(context: &Context, run_id: &str, quiet: bool) -> Result<Run, CommandError> {
    follow::follow(context, run_id, quiet).await?;
    Ok(context.client.pipeline().run(run_id).await?)
}

/// What is said to whom Ctrl-C took away from a run.
fn goes_on(run_id: &str) -> String {
    format!(
        "the run goes on: `opencloud cancel {run_id}` stops it, `opencloud runs {run_id}` shows it"
    )
}

/// The most that something costs.
pub(crate) fn at_most(micros: i64, currency: &str) -> String {
    match micros {
        0 => "free of charge".to_owned(),
        micros => format!("at most {} {currency}", Money(micros)),
    }
}

/// The most that a plan costs, and what the last run of the same was charged.
fn cost(plan: &PlanRunResponse) -> String {
    let most = at_most(plan.cost_micros, &plan.currency);
    match plan.expected_micros {
        Some(expected) => format!("{most}; the last such run was {}", Money(expected)),
        None => most,
    }
}

fn show_plan(plan: &PlanRunResponse, names: &Names) {
    for data in &plan.data {
        anstream::println!(
            "input {}: {} images, {}",
            safe(&data.input),
            data.count,
            size::show(data.bytes)
        );
    }
    for fragment in &plan.fragments {
        let bold = anstyle::Style::new().bold();
        anstream::println!(
            "{bold}{}{bold:#} at {bold}{}{bold:#}: {}",
            safe(&fragment.steps.join(", ")),
            safe(&names.show(&fragment.site)),
            safe(&fragment.reason)
        );
        for other in &fragment.alternatives {
            let text = format!("not {}: {}", names.show(&other.site), other.reason);
            anstream::println!("    {}", safe(&text));
        }
    }
    anstream::println!("cost: {}", safe(&cost(plan)));
    for warning in &plan.warnings {
        let yellow = anstyle::AnsiColor::Yellow.on_default();
        anstream::println!("{yellow}note{yellow:#}: {}", safe(warning));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_from_a_listing() {
        for file in [
            "bogus.cwl",
            "./bogus",
            "../a/bogus",
            "/tmp/bogus",
            "a/b.yaml",
            "bogus.cwl#main",
        ] {
            assert!(is_meant_as_file(Path::new(file)), "{file}");
        }
        for listing in [
            "South/processing.sentinel-pictures.1.0",
            "workflow.summer",
            "x",
        ] {
            assert!(!is_meant_as_file(Path::new(listing)), "{listing}");
        }
    }

    #[test]
    fn a_plan_tells_what_it_costs_at_most_and_what_the_last_run_was() {
        let plan = PlanRunResponse {
            cost_micros: 40_000,
            currency: "EUR".to_owned(),
            ..PlanRunResponse::default()
        };
        assert_eq!(cost(&plan), "at most 0.04 EUR");
        assert_eq!(cost(&PlanRunResponse::default()), "free of charge");
        let again = PlanRunResponse {
            expected_micros: Some(54),
            ..plan
        };
        assert_eq!(
            cost(&again),
            "at most 0.04 EUR; the last such run was 0.000054"
        );
    }
}
