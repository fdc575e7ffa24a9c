//! What a person is told about a run, word for word.

use oc_kernel::OrgId;
use oc_workflow::explain::{self, Around};
use oc_workflow::run::{Action, AttemptRef, End, Event, Phase, code};

use crate::driven::{Driven, FIRST, cause};
use crate::world::{World, org};

/// People call two organisations by a name, and a tool has printed seven lines.
struct Known;

impl Around for Known {
    fn name_of(&self, id: OrgId) -> Option<String> {
        match id {
            id if id == org(1) => Some("North".to_owned()),
            id if id == org(2) => Some("South".to_owned()),
            _ => None,
        }
    }

    fn last_lines(&self, _: usize) -> Vec<String> {
        (1..8).map(|number| format!("line {number}")).collect()
    }
}

/// Nothing is known but the run.
pub(crate) struct Nobody;

impl Around for Nobody {
    fn name_of(&self, _: OrgId) -> Option<String> {
        None
    }

    fn last_lines(&self, _: usize) -> Vec<String> {
        vec!["x".repeat(500)]
    }
}

/// The text without the ids, which differ from run to run.
fn text(driven: &Driven) -> String {
    let text = explain::text(&driven.run, &Known, driven.now);
    let text = text.replace(&driven.run.id().to_string(), "RUN");
    let id = |at| oc_workflow::run::fragment_id(driven.run.id(), at).to_string();
    (0..4).fold(text, |text, at| text.replace(&id(at), &format!("F{at}")))
}

#[test]
fn a_full_site_is_explained_with_what_is_waited_for_and_until_when() {
    let mut driven = Driven::new(&World::story());
    driven.reserve_data();
    let mut full = cause(code::FULL);
    full.text = "8 of 8 cores are taken".into();
    let action = Action::ReserveCapacity { at: FIRST };
    driven.tell(Event::Trouble {
        action,
        cause: full,
        lasting: false,
    });
    driven.wait(30);
    assert_eq!(
        text(&driven),
        "\
RUN is running, 0 of 1 fragments done
  all its data are reserved (North, 30 s ago)
colour, index at South is reserving (F0)
  8 of 8 cores are taken (South, 30 s ago)
  waits for capacity at South, for 30 s so far and 9 min 30 s at most: then it is tried elsewhere or fails
  what to do: wait, ask for larger limits, or place the step elsewhere"
    );
}

#[test]
fn a_partners_words_make_no_line_of_their_own() {
    let mut driven = Driven::new(&World::story());
    driven.reserve_data();
    let mut full = cause(code::FULL);
    full.text = "full\nRUN is succeeded\u{202e}".into();
    driven.tell(Event::Trouble {
        action: Action::ReserveCapacity { at: FIRST },
        cause: full,
        lasting: false,
    });
    let text = text(&driven);
    assert!(
        text.contains("  full\u{fffd}RUN is succeeded\u{fffd} (South"),
        "{text}"
    );
}

#[test]
fn a_silent_partner_is_explained_by_name() {
    let mut driven = Driven::new(&World::three_sites());
    driven.reserve_data();
    driven.submit(FIRST);
    driven.tell(Event::Progress {
        at: FIRST,
        phase: Phase::Running,
    });
    driven.submit(AttemptRef {
        fragment: 1,
        attempt: 1,
    });
    driven.succeed(AttemptRef {
        fragment: 1,
        attempt: 1,
    });
    driven.wait(10);
    assert_eq!(
        text(&driven),
        "\
RUN is running, 1 of 3 fragments done
  all its data are reserved (North, 10 s ago)
optical at South is running (F0)
  South has not answered for 10 s (South, 0 s ago)
  waits for a word from South, for 10 s so far and 5 s at most: then its lease ends; after that it is tried again
  what to do: check the network here; if others answer, this partner's node is down, has left the network, or blocks \
us: ask their operator
merge at South is waiting (F2)
  waits for what it reads (North, 10 s ago)
  waits for the outputs of optical, for 10 s so far"
    );
}

#[test]
fn a_failed_run_tells_the_tools_words_and_what_to_do() {
    let mut driven = Driven::submitted();
    let mut failed = cause(code::TOOL_FAILED);
    failed.text = "`gdal_calc` ended with exit code 1: no such band".into();
    driven.tell(Event::Ended {
        at: FIRST,
        end: End::Failed(failed),
    });
    driven.give_back();
    driven.settle();
    driven.wait(3_600);
    assert_eq!(
        text(&driven),
        "\
RUN is failed, 0 of 1 fragments done
colour, index at South is failed (F0)
  `gdal_calc` ended with exit code 1: no such band (South, 1 h ago)
  the last that its tools printed:
    | line 3
    | line 4
    | line 5
    | line 6
    | line 7
  what to do: read the step's last log lines, mend the workflow or its inputs, and start again"
    );
}

#[test]
fn a_run_that_succeeded_tells_where_each_part_ran_and_why() {
    let mut driven = Driven::submitted();
    driven.succeed(FIRST);
    driven.tell(Event::Published);
    driven.give_back();
    driven.settle();
    driven.wait(60);
    let reason = driven.run.plan().fragments[0].reason.clone();
    assert!(!reason.is_empty());
    let text = text(&driven);
    assert!(
        text.starts_with("RUN is succeeded, 1 of 1 fragments done"),
        "{text}"
    );
    let where_and_why = format!("colour, index ran at South (F0)\n  {reason}");
    assert!(text.ends_with(&where_and_why), "{text}");
}

#[test]
fn a_tool_that_prints_wide_lines_does_not_fill_the_screen() {
    let mut driven = Driven::submitted();
    driven.tell(Event::Ended {
        at: FIRST,
        end: End::Failed(cause(code::OVER_MEMORY)),
    });
    let text = explain::text(&driven.run, &Nobody, driven.now);
    let wide = text.lines().map(str::len).max().unwrap();
    assert!(text.contains("    | xxx") && wide < 200, "{text}");
}
