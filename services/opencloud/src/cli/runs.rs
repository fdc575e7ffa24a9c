//! `opencloud runs`, `logs`, `cancel`, `retry`, `explain`.

use clap::Args;
use oc_kernel::Money;
use oc_proto::compute::v1::Grant;
use oc_proto::federation::v1::GrantState;
use oc_proto::json::Word as _;
use oc_proto::pipeline::v1::{FragmentState, Run, RunFragment, RunState};

use super::follow::follow;
use super::ids::ShortIds;
use super::output::{fields, hint, safe, safe_lines};
use super::run::at_most;
use super::typed::with_options;
use super::{Context, Outcome, ids, when};

#[derive(Debug, Args)]
pub(crate) struct RunsArguments {
    /// Show this run; the begin of its id is enough
    run: Option<String>,
    /// Most runs in the list
    #[arg(long, default_value_t = 20)]
    limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArguments {
    /// Run, or the begin of its id
    run: String,
    /// Only of this step
    #[arg(long, default_value = "", hide_default_value = true)]
    step: String,
    /// Only the last so many lines
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    tail: u32,
    /// Go on until the run is over
    #[arg(short, long)]
    follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunId {
    /// Run, or the begin of its id
    run: String,
}

pub(crate) async fn list(context: &Context, arguments: RunsArguments) -> Outcome {
    let pipeline = context.client.pipeline();
    if let Some(run) = arguments.run {
        let run = pipeline.run(&ids::run(context, &run).await?).await?;
        return context.output.show(&run, show);
    }
    let runs = pipeline.runs(arguments.limit.max(ids::RUNS)).await?;
    let short = ShortIds::of(runs.iter().map(|run| run.run_id.as_str()));
    let shown = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    context.output.list(
        &runs[..runs.len().min(shown)],
        "no runs yet: start one with `opencloud run`",
        ["RUN", "NAME", "STATE", "STARTED", "TOOK", "COST"],
        |run| {
            [
                short.show(&run.run_id),
                run.name.clone(),
                state(run),
                when::show(run.started_at_ms),
                took(run.started_at_ms, run.ended_at_ms),
                cost(run),
            ]
        },
    )
}

pub(crate) async fn logs(context: &Context, arguments: LogsArguments) -> Outcome {
    let run = ids::run(context, &arguments.run).await?;
    if arguments.follow {
        follow(context, &run, false).await?;
        let run = context.client.pipeline().run(&run).await?;
        // People have seen its lines.
        return context.output.show(&run, |_| ());
    }
    let pipeline = context.client.pipeline();
    let lines = pipeline.logs(&run, &arguments.step, arguments.tail).await?;
    context.output.show(&lines, |lines| {
        if lines.is_empty() {
            anstream::eprintln!("no log lines yet");
        }
        for line in lines {
            anstream::println!("{} | {}", safe(&line.step), safe(&line.text));
        }
    })
}

pub(crate) async fn cancel(context: &Context, arguments: RunId) -> Outcome {
    let run = ids::run(context, &arguments.run).await?;
    context.confirm(&format!("Cancel {run}?"))?;
    let run = context.client.pipeline().cancel(&run).await?;
    context.output.show(&run, |run| {
        anstream::println!("{}: {}", run.run_id, state(run))
    })
}

pub(crate) async fn retry(context: &Context, arguments: RunId) -> Outcome {
    let run = ids::run(context, &arguments.run).await?;
    let pipeline = context.client.pipeline();
    if !context.yes {
        let planned = pipeline.run(&run).await?;
        // Grants are for operators; for others the node judges them, after the question.
        let grants = context.client.compute().grants(false).await;
        // One that cannot be started again is refused without a question.
        if can_start_again(&planned, &grants.unwrap_or_default()) && planned.cost_micros > 0 {
            let most = format!("{} {}", Money(planned.cost_micros), planned.currency);
            context.confirm(&format!(
                "What failed or was not reached starts again, for at most {most} more. Start it?"
            ))?;
        }
    }
    let run = pipeline.retry(&run).await?;
    context.output.show(&run, |run| {
        anstream::println!("{} is {}", run.run_id, state(run));
        hint(&watch(&run.run_id));
    })
}

/// True for a run that is over, unless what is left of it was planned under a grant that is over too.
fn can_start_again(run: &Run, grants: &[Grant]) -> bool {
    let is_over = |grant: &Grant| {
        matches!(
            grant.state(),
            GrantState::Ended | GrantState::Revoked | GrantState::Expired
        )
    };
    let left = run.fragments.iter();
    let mut left = left.filter(|fragment| fragment.state() != FragmentState::Succeeded);
    matches!(run.state(), RunState::Failed | RunState::Cancelled)
        && !left.any(|fragment| {
            let mut over = grants.iter().filter(|grant| is_over(grant));
            over.any(|grant| grant.grant_id == fragment.grant_id)
        })
}

pub(crate) async fn explain(context: &Context, arguments: RunId) -> Outcome {
    let run = ids::run(context, &arguments.run).await?;
    let answer = context.client.pipeline().explain(&run).await?;
    context.output.show(&answer, |answer| {
        anstream::println!("{}", safe_lines(&with_options(&answer.text)))
    })
}

/// How to see what becomes of a run.
pub(crate) fn watch(run_id: &str) -> String {
    format!("watch it with `opencloud logs -f {run_id}`, look at it with `opencloud runs {run_id}`")
}

pub(crate) fn show(run: &Run) {
    let cause = run.cause.as_ref();
    fields(&[
        ("run", run.run_id.clone()),
        ("name", run.name.clone()),
        ("state", state(run)),
        (
            "because",
            cause.map(|cause| cause.text.clone()).unwrap_or_default(),
        ),
        (
            "what to do",
            cause.map(|cause| cause.advice.clone()).unwrap_or_default(),
        ),
        ("started", when::show(run.started_at_ms)),
        ("took", took(run.started_at_ms, run.ended_at_ms)),
        ("cost", cost(run)),
    ]);
    for fragment in &run.fragments {
        anstream::println!("{}", fragment_line(fragment));
    }
}

/// What the books charge for a run; until that is settled, the most that it can cost.
fn cost(run: &Run) -> String {
    match run.charged_micros {
        Some(0) => "free of charge".to_owned(),
        Some(charged) => format!("{} {}", Money(charged), run.currency),
        None => at_most(run.cost_micros, &run.currency),
    }
}

fn fragment_line(fragment: &RunFragment) -> String {
    let state = FragmentState::try_from(fragment.state)
        .unwrap_or_default()
        .word();
    let cause = fragment
        .cause
        .as_ref()
        .map(|cause| cause.text.as_str())
        .unwrap_or_default();
    let mut line = format!(
        "  {} at {}: {state} {}",
        safe(&fragment.steps.join(", ")),
        safe(&fragment.site_name),
        took(fragment.started_at_ms, fragment.ended_at_ms)
    );
    for (label, text) in [("where", fragment.reason.as_str()), ("why", cause)] {
        if !text.is_empty() {
            line.push_str(&format!("\n      {label}: {}", safe(text)));
        }
    }
    line
}

fn state(run: &Run) -> String {
    RunState::try_from(run.state).unwrap_or_default().word()
}

fn took(start_ms: u64, end_ms: u64) -> String {
    if start_ms == 0 || end_ms < start_ms {
        return String::new();
    }
    when::show_span(end_ms - start_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_whose_rest_has_a_grant_that_is_over_does_not_start_again() {
        let fragment = |grant: &str, state: FragmentState| RunFragment {
            grant_id: grant.to_owned(),
            state: state.into(),
            ..RunFragment::default()
        };
        let grant = |id: &str, state: GrantState| Grant {
            grant_id: id.to_owned(),
            state: state.into(),
            ..Grant::default()
        };
        let grants = [
            grant("alive", GrantState::Active),
            grant("over", GrantState::Ended),
        ];
        let mut run = Run {
            state: RunState::Failed.into(),
            fragments: vec![
                fragment("over", FragmentState::Succeeded),
                fragment("alive", FragmentState::Failed),
                fragment("", FragmentState::Failed),
            ],
            ..Run::default()
        };
        assert!(can_start_again(&run, &grants));
        run.fragments[1].grant_id = "over".to_owned();
        assert!(!can_start_again(&run, &grants));
        assert!(can_start_again(&run, &[]));
        run.set_state(RunState::Succeeded);
        assert!(!can_start_again(&run, &[]));
    }
}
