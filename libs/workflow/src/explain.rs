//! Why a run is where it is, on one screen: each part that is not done, its last cause, what it waits
//! for, since when, until when, and what a person can do; and of a run that succeeded, where each part ran and why.

use jiff::Timestamp;

use crate::run::{Cause, FragmentState, Run, RunState, Wait, fragment_id};
use crate::words;

/// Parts shown in the text; more are counted.
const SHOWN: usize = 12;

/// Why one part of a run is where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The fragment's index in the plan; none for the run itself.
    pub fragment: Option<usize>,
    /// Where it stands, in a word.
    pub state: &'static str,
    /// The last cause.
    pub cause: Cause,
    /// What it waits for.
    pub wait: Option<Wait>,
}

/// One entry for the run, then one for each fragment that is not done: failed ones first, then those at
/// work, then those that wait.
pub fn entries(run: &Run) -> Vec<Explanation> {
    let whole = Explanation {
        fragment: None,
        state: run.state().as_str(),
        cause: run.cause().clone(),
        wait: run.run_wait(),
    };
    let mut open: Vec<usize> = (0..run.fragments().len())
        .filter(|at| run.fragments()[*at].state != FragmentState::Succeeded)
        .collect();
    open.sort_by_key(|at| (urgency(run.fragments()[*at].state), *at));
    let fragments = open.into_iter().map(|at| {
        let fragment = &run.fragments()[at];
        Explanation {
            fragment: Some(at),
            state: fragment.state.as_str(),
            cause: fragment.cause.clone(),
            wait: run.fragment_wait(at),
        }
    });
    std::iter::once(whole).chain(fragments).collect()
}

const fn urgency(state: FragmentState) -> u8 {
    match state {
        FragmentState::Failed => 0,
        FragmentState::Lost | FragmentState::Stopping => 1,
        FragmentState::Waiting | FragmentState::Cancelled => 3,
        _ => 2,
    }
}

/// The entries as text. `name_of` gives the name of an organisation, where one is known.
pub fn text(
    run: &Run,
    name_of: impl Fn(oc_kernel::OrgId) -> Option<String>,
    now: Timestamp,
) -> String {
    let mut lines = Vec::new();
    let entries = entries(run);
    let done = run.fragments().len() + 1 - entries.len();
    for (number, entry) in entries.iter().enumerate() {
        if number > SHOWN {
            let more = entries.len() - number;
            lines.push(format!("and {more} more fragments"));
            break;
        }
        lines.push(heading(run, entry, done));
        let by = name_of(entry.cause.by).unwrap_or_else(|| entry.cause.by.short());
        let ago = words::between(entry.cause.at, now);
        let text = &entry.cause.text;
        lines.push(format!("  {text} ({by}, {ago} ago)"));
        if let Some(wait) = &entry.wait {
            lines.push(waiting(wait, now));
        }
        if !entry.cause.advice.is_empty() {
            lines.push(format!("  what to do: {}", entry.cause.advice));
        }
    }
    if run.state() == RunState::Succeeded {
        for at in (0..run.fragments().len()).take(SHOWN) {
            lines.extend(ran(run, at));
        }
        if done > SHOWN {
            lines.push(format!("and {} more fragments", done - SHOWN));
        }
    }
    // A cause may be a partner's words: it makes no line of its own, which could pass for one of ours.
    let lines: Vec<_> = lines.iter().map(|line| oc_kernel::visible(line)).collect();
    lines.join("\n")
}

/// Where a part of a run ran, and why there.
fn ran(run: &Run, at: usize) -> [String; 2] {
    let (plan, fragment) = (&run.plan().fragments[at], &run.fragments()[at]);
    let steps = words::list(plan.steps.iter().map(String::as_str), 4);
    let place = fragment.place();
    let id = fragment_id(run.id(), plan.index);
    [
        format!("{steps} ran at {} ({id})", place.name),
        format!("  {}", run.why_there(at)),
    ]
}

fn heading(run: &Run, entry: &Explanation, done: usize) -> String {
    let Some(at) = entry.fragment else {
        let all = run.fragments().len();
        let state = entry.state;
        return format!("{} is {state}, {done} of {all} fragments done", run.id());
    };
    let fragment = &run.fragments()[at];
    let steps = &run.plan().fragments[at].steps;
    let steps = words::list(steps.iter().map(String::as_str), 4);
    let attempt = match fragment.attempts.len() {
        0 | 1 => String::new(),
        count => format!(", attempt {count}"),
    };
    let name = &fragment.place().name;
    let id = fragment_id(run.id(), u32::try_from(at).unwrap_or(u32::MAX));
    format!("{steps} at {name} is {}{attempt} ({id})", entry.state)
}

fn waiting(wait: &Wait, now: Timestamp) -> String {
    let since = words::between(wait.since, now);
    match wait.until {
        None => format!("  waits for {} since {since}", wait.what),
        Some(until) => {
            let left = words::between(now, until);
            format!(
                "  waits for {} since {since}, for {left} more: then {}",
                wait.what, wait.then
            )
        }
    }
}
