//! What people read of runs that do not go as planned, at real nodes: the whole text of each, as it is checked in below
//! `explaining`. It comes of the same code as the plays in `services/pipeline-orchestrator/src/explaining`, whose
//! causes are written by hand; here two nodes say them. With `OC_BLESS=1` the texts are written instead.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use oc_kernel::{Classify as _, Kind};
use oc_proto::compute::v1::OfferKind;
use oc_proto::pipeline::v1::{FragmentState, ListingRef, OutputPlace, Run, RunRequest, RunState};
use oc_proto::types::v1::Limits;
use oc_testkit::until;

use crate::scene::{JUNE, SOON, Scene, large, over, start};
use crate::sites::{both, offer, request, upload, uploaded};

const LIMIT: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// A step at South that runs a script on a small file.
async fn script(scene: &Scene, key: &str, script: &str, requirements: &str) -> RunRequest {
    let object = upload(&scene.north(), key, "ada\n").await;
    let tool = format!(
        "{{class: CommandLineTool, baseCommand: [sh, -c, '{script}'], stdin: $(inputs.read.path), \
         requirements: {{{requirements}}}, inputs: {{read: File}}, outputs: {{made: stdout}}, stdout: made.txt}}"
    );
    let cwl = format!(
        "cwlVersion: v1.2\nclass: Workflow\ninputs: {{read: File}}\nsteps:\n  \
         picture: {{in: {{read: read}}, out: [made], run: {tool}}}\n\
         outputs:\n  made: {{type: File, outputSource: picture/made}}\n"
    );
    request(
        cwl,
        uploaded(object, "storage.uploads"),
        &[("picture", "South")],
    )
}

/// Compares an explanation with what is checked in, but for ids and spans of time.
fn is_told_as(name: &str, run: &Run, text: &str) {
    let mut text = without_spans(text).replace(&run.run_id, "RUN");
    for fragment in &run.fragments {
        text = text.replace(&fragment.fragment_id, "FRAGMENT");
        if !fragment.grant_id.is_empty() {
            text = text.replace(&fragment.grant_id, "GRANT");
        }
    }
    let text = text + "\n";
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/explaining");
    let file = folder.join(format!("{name}.txt"));
    if std::env::var_os("OC_BLESS").is_some_and(|value| value == "1") {
        return std::fs::write(file, text).unwrap();
    }
    let before = std::fs::read_to_string(file).unwrap_or_default();
    assert_eq!(text, before, "{name}.txt: OC_BLESS=1 renews it");
}

/// `1 min 3 s` and the like as `SPAN`.
fn without_spans(text: &str) -> String {
    let unit = |word: &str| {
        let word = word.trim_end_matches([':', ',', ')']);
        ["s", "min", "h", "d"].contains(&word)
    };
    let lines = text.lines().map(|line| {
        let mut words: Vec<String> = Vec::new();
        let mut rest = line.split(' ').peekable();
        while let Some(word) = rest.next() {
            let number = !word.is_empty() && word.chars().all(|c| c.is_ascii_digit());
            match rest.next_if(|next| number && unit(next)) {
                None => words.push(word.to_owned()),
                Some(next) => {
                    let end = next.trim_start_matches(|c: char| c.is_alphabetic());
                    if words.last().is_some_and(|last| last == "SPAN") {
                        words.pop();
                    }
                    words.push(format!("SPAN{end}"));
                }
            }
        }
        words.join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

async fn fails(scene: &Scene, asked: RunRequest) -> (Run, String) {
    let north = scene.north();
    let run = start(&north, asked).await.unwrap();
    let (run, text) = over(&north, &run.run_id, LIMIT).await;
    assert_eq!(run.state, i32::from(RunState::Failed), "{text}");
    (run, text)
}

fn code_of(run: &Run) -> String {
    let cause = run.fragments[0].cause.clone();
    cause.unwrap_or_default().code
}

fn complained(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_failure_of_each_kind_at_a_partner_is_told_with_its_own_words_and_advice() {
    let scene = both(&[], &[]).await;
    let words = "echo reading 4 bands >&2; echo no such band: B11 >&2; exit 3";
    let failing = script(&scene, "a", words, "").await;
    let (failed, text) = fails(&scene, failing).await;
    is_told_as("tool-failed", &failed, &text);

    let slow = "echo waiting for godot >&2; sleep 60";
    let slow = script(&scene, "b", slow, "ToolTimeLimit: {timelimit: 1}").await;
    let (run, text) = fails(&scene, slow).await;
    assert_eq!(code_of(&run), "timed-out", "{text}");
    is_told_as("tool-over-time", &run, &text);

    let greedy = "exec perl -e \"my @a; push @a, q(x) x 1000000 while 1\"";
    let little = "ResourceRequirement: {ramMin: 64, ramMax: 64}";
    let greedy = script(&scene, "c", greedy, little).await;
    let (run, text) = fails(&scene, greedy).await;
    assert_eq!(code_of(&run), "over-memory", "{text}");
    is_told_as("tool-over-memory", &run, &text);

    let mut tiny = offer("tiny", OfferKind::Storage);
    tiny.capacity = Some(Limits {
        storage_bytes: 64 << 10,
        ..Limits::default()
    });
    let north = scene.north();
    north.compute().create_offer(&tiny).await.unwrap();
    until("the small storage is listed", SOON, async || {
        let offers = north.compute().offers().await.ok()?;
        offers.iter().all(|offer| offer.listed).then_some(())
    })
    .await;
    let mut large = script(&scene, "d", "head -c 200000 /dev/zero", "").await;
    large.output = Some(OutputPlace {
        storage: Some(ListingRef {
            owner: scene.pair.north_id.clone(),
            listing_id: "storage.tiny".to_owned(),
        }),
        prefix: String::new(),
    });
    let (run, text) = fails(&scene, large).await;
    assert_eq!(code_of(&run), "storage-full", "{text}");
    is_told_as("storage-full", &run, &text);

    // The command line shows the same, and nothing is left to stop.
    let shown = scene.pair.north.run(&["explain", &failed.run_id]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    is_told_as("tool-failed", &failed, shown.trim_end());
    let cancelled = scene.pair.north.run(&["--yes", "cancel", &failed.run_id]);
    let text = complained(&cancelled);
    assert_eq!(cancelled.status.code(), Some(4), "{text}");
    assert!(text.contains("it has failed"), "{text}");
}

#[tokio::test]
async fn a_run_that_waits_for_a_full_grant_says_so_and_one_that_is_cancelled_too() {
    let scene = both(&[], &[]).await;
    let north = scene.north();
    let all = "ResourceRequirement: {coresMin: 4, coresMax: 4}";
    let first = script(&scene, "a", "sleep 600", all).await;
    let first = start(&north, first).await.unwrap();
    until("the first holds all cores", SOON, async || {
        let run = north.pipeline().run(&first.run_id).await.ok()?;
        (run.fragments[0].state == i32::from(FragmentState::Running)).then_some(())
    })
    .await;
    let second = script(&scene, "b", "cat", all).await;
    let second = start(&north, second).await.unwrap();
    let text = until("the second is told that it is full", SOON, async || {
        let why = north.pipeline().explain(&second.run_id).await.ok()?;
        let full = |code: &str| code == "grant-full";
        let mut causes = why.entries.iter().filter_map(|entry| entry.cause.as_ref());
        causes.any(|cause| full(&cause.code)).then_some(why.text)
    })
    .await;
    is_told_as("grant-full", &second, &text);
    north.pipeline().cancel(&second.run_id).await.unwrap();
    let (second, text) = over(&north, &second.run_id, LIMIT).await;
    is_told_as("cancelled", &second, &text);
    north.pipeline().cancel(&first.run_id).await.unwrap();
    over(&north, &first.run_id, LIMIT).await;
}

#[tokio::test]
async fn a_run_whose_offer_is_withdrawn_says_that_its_partner_did_it() {
    let scene = Scene::set(&[]).await;
    scene.grant(large(), DAY).await;
    let north = scene.north();
    let run = start(&north, scene.sleep("600", "", JUNE)).await.unwrap();
    until("it runs at South", SOON, async || {
        let run = north.pipeline().run(&run.run_id).await.ok()?;
        (run.fragments[0].state == i32::from(FragmentState::Running)).then_some(())
    })
    .await;
    let south = scene.south();
    south.compute().withdraw_offer("machines").await.unwrap();
    let (run, text) = over(&north, &run.run_id, LIMIT).await;
    assert_eq!(run.state, i32::from(RunState::Failed), "{text}");
    assert_eq!(code_of(&run), "offer-withdrawn", "{text}");
    is_told_as("offer-withdrawn", &run, &text);
}

#[tokio::test]
async fn a_start_while_the_partner_is_silent_may_be_tried_again_and_names_the_partner() {
    let mut scene = Scene::set(&[]).await;
    scene.grant(large(), DAY).await;
    let asked = scene.sleep("1", "", JUNE);
    let cwl = asked
        .cwl
        .replace("image: File", "{}")
        .replace("inputs:\n  {}", "inputs: {}");
    scene.pair.south.kill();
    let north = scene.north();
    for site in ["South".to_owned(), scene.pair.south_id.clone()] {
        let request = RunRequest {
            cwl: cwl.clone(),
            placement: [("main".to_owned(), site)].into(),
            ..RunRequest::default()
        };
        let refused = start(&north, request).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Unavailable, "{refused}");
        let problem = refused.problem().unwrap();
        assert_eq!(problem.status, 503, "{refused}");
        assert!(
            problem.detail.contains("cannot run at `South`: South "),
            "{refused}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sleep.cwl");
    std::fs::write(&file, cwl).unwrap();
    let line = ["plan", file.to_str().unwrap(), "--at", "main=South"];
    let refused = scene.pair.north.run(&line);
    let text = complained(&refused);
    assert_eq!(refused.status.code(), Some(5), "{text}");
    assert!(text.contains("South") && !text.contains("org-"), "{text}");
}
