//! Why a run is where it is, on one screen: each part that is not done, its last cause, what it waits
//! for, since when, until when, and what a person can do; and of a run that succeeded, where each part ran and why.

use jiff::Timestamp;

use crate::run::{Cause, Fragment, FragmentState, Run, RunState, Wait, code, fragment_id};
use crate::words;

/// Parts shown in the text; more are counted.
const SHOWN: usize = 12;

/// Lines of a failed tool's log that are shown, and how wide.
pub const LOG_LINES: usize = 5;
const LOG_WIDTH: usize = 160;

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
    /// The end of the attempt before the present one, where that is something else.
    pub before: Option<Before>,
}

/// How an attempt before the present one ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// The attempt's number, from 1.
    pub number: u32,
    /// Where it was.
    pub place: String,
    /// Why it ended.
    pub cause: Cause,
}

/// One entry for the run, then one for each fragment that is not done: failed ones first, then those at
/// work, then those that wait.
pub fn entries(run: &Run) -> Vec<Explanation> {
    let whole = Explanation {
        fragment: None,
        state: run.state().as_str(),
        cause: run.cause().clone(),
        wait: run.run_wait(),
        before: None,
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
            before: before(fragment),
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

/// What the text names beside the run itself.
pub trait Around {
    /// What people call an organisation, where that is known.
    fn name_of(&self, org: oc_kernel::OrgId) -> Option<String>;

    /// The last lines that the tools of a fragment printed, oldest first.
    fn last_lines(&self, fragment: usize) -> Vec<String>;
}

/// The entries as text.
pub fn text(run: &Run, around: &impl Around, now: Timestamp) -> String {
    let mut lines = Vec::new();
    let mut advised = "";
    let entries = entries(run);
    let done = run.fragments().len() + 1 - entries.len();
    for (number, entry) in entries.iter().enumerate() {
        if number > SHOWN {
            let more = entries.len() - number;
            lines.push(format!("and {more} more fragments"));
            break;
        }
        lines.push(heading(run, entry, done));
        if entry.fragment.is_none() && is_told_below(entry, &entries) {
            continue;
        }
        lines.push(format!("  {}", said(&entry.cause, around, now)));
        if let Some(Before {
            number,
            place,
            cause,
        }) = &entry.before
        {
            let why = said(cause, around, now);
            lines.push(format!("  attempt {number} at {place} ended: {why}"));
        }
        if let Some(at) = entry.fragment.filter(|_| is_of_tools(&entry.cause)) {
            lines.extend(log(&around.last_lines(at)));
        }
        if let Some(wait) = &entry.wait {
            lines.push(waiting(wait, now));
        }
        // The same is not said twice in a row.
        let advice = entry.cause.advice.as_str();
        if !advice.is_empty() && advice != advised {
            lines.push(format!("  what to do: {advice}"));
            advised = advice;
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

/// A cause in words, with who caused it and when.
fn said(cause: &Cause, around: &impl Around, now: Timestamp) -> String {
    let by = around.name_of(cause.by);
    let by = by.unwrap_or_else(|| cause.by.short());
    let ago = words::between(cause.at, now);
    format!("{} ({by}, {ago} ago)", cause.text)
}

/// Why the last attempt that is over without a result ended, where that is not what is said already.
fn before(fragment: &Fragment) -> Option<Before> {
    let mut ended = fragment.attempts.iter().rev();
    ended.find_map(|attempt| {
        let why = attempt.why.as_ref()?;
        (why.text != fragment.cause.text).then(|| Before {
            number: attempt.number,
            place: attempt.place.name.clone(),
            cause: why.clone(),
        })
    })
}

/// True where the run ended for what one of its parts says of itself.
fn is_told_below(whole: &Explanation, entries: &[Explanation]) -> bool {
    let mut failed = entries
        .iter()
        .filter(|entry| entry.fragment.is_some() && entry.state == FragmentState::Failed.as_str());
    failed.any(|entry| {
        entry.cause.code == whole.cause.code && whole.cause.text.ends_with(&entry.cause.text)
    })
}

/// True where a tool's last words tell more.
pub fn is_of_tools(cause: &Cause) -> bool {
    let ends = [code::TOOL_FAILED, code::TIMED_OUT, code::OVER_MEMORY];
    ends.contains(&cause.code.as_str())
}

/// The last lines of a log, cut to what one screen takes.
fn log(lines: &[String]) -> Vec<String> {
    if lines.is_empty() {
        return Vec::new();
    }
    let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
    let cut = |line: &String| match line.char_indices().nth(LOG_WIDTH) {
        Some((end, _)) => format!("    | {}...", &line[..end]),
        None => format!("    | {line}"),
    };
    let heading = "  the last that its tools printed:".to_owned();
    std::iter::once(heading)
        .chain(last.iter().map(cut))
        .collect()
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
    let what = &wait.what;
    let since = words::between(wait.since, now);
    match wait.until {
        None => format!("  waits for {what}, for {since} so far"),
        Some(until) => {
            let left = words::between(now, until);
            let then = wait.then;
            format!("  waits for {what}, for {since} so far and {left} at most: then {then}")
        }
    }
}
