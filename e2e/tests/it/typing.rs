//! The commands that the README's walk does not type: each does what its help says.

use std::time::Duration;

use oc_testkit::{Node, Pair, until};

use crate::terminal::{Terminal, id_beside};

const SOON: Duration = Duration::from_secs(20);

/// A tool that runs a command line of a shell and keeps what it says.
fn shell(line: &str) -> String {
    format!(
        "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [sh, -c, \"{line}\"]\n\
         inputs: {{}}\noutputs:\n  said: stdout\nstdout: said.txt\n"
    )
}

#[tokio::test]
async fn accounts_marks_and_services_are_kept_from_the_command_line() {
    let (node, folder) = (Node::start("North").await, tempfile::tempdir().unwrap());
    let north = Terminal::open(&node, folder.path());

    let token = north.types("opencloud user add alice --role user");
    north.write("alice.token", &token);
    let alice = |line: &str| format!("opencloud --token-file alice.token {line}");
    north.reads(&alice("user me"), &["alice (user)"]);
    north.reads("opencloud user list", &["alice user", "admin"]);
    let refused = north.output(&alice("--output json network create hers"));
    let problem: serde_json::Value = serde_json::from_slice(&refused.stderr).unwrap();
    assert_eq!(problem["status"], 403, "{problem}");
    north.is_refused("opencloud user remove alice", &["say --yes"]);
    north.reads("opencloud user remove alice --yes", &["removed alice"]);
    north.is_refused(&alice("user me"), &["token"]);

    let service = "sentinel-pictures 1.0";
    let document = "testdata/workflows/sentinel-pictures.cwl";
    north.types(&format!("opencloud service add {service} {document}"));
    let text = std::fs::read_to_string(folder.path().join(document)).unwrap();
    let first = text.lines().find(|line| line.contains("cwlVersion"));
    let shown = ["name sentinel-pictures", "version 1.0", first.unwrap()];
    north.reads(&format!("opencloud service show {service}"), &shown);
    let update = format!("opencloud service update {service} --description summer");
    north.reads(&update, &["updated sentinel-pictures 1.0"]);
    let listed = north.json("opencloud service list");
    assert_eq!(listed[0]["description"], "summer");
    north.write("faulty.cwl", "cwlVersion: v1.2\nclass: Nonsense\n");
    let faulty = "opencloud service add faulty 1.0 faulty.cwl";
    north.is_refused(faulty, &["2:8", "class"]);

    let listing = "processing.sentinel-pictures.1.0";
    north.awaits("opencloud catalog search", &[listing]).await;
    north.reads("opencloud catalog search toulouse-nowhere", &["no"]);
    let mark = format!("opencloud favorite add {listing} --note 'for June'");
    north.reads(&mark, &["marked"]);
    north.reads("opencloud favorite list", &[listing, "offered for June"]);
    let remove = format!("opencloud service remove {service} --yes");
    north.reads(&remove, &["removed sentinel-pictures 1.0"]);
    let gone = "North processing.sentinel-pictures.1.0 gone";
    north.awaits("opencloud favorite list", &[gone]).await;
    north.types(&format!("opencloud favorite remove {listing}"));
    north.reads("opencloud favorite list", &["no favourites"]);
}

#[tokio::test]
async fn documents_are_checked_and_run_without_a_node() {
    let (node, folder) = (Node::start("North").await, tempfile::tempdir().unwrap());
    let north = Terminal::open(&node, folder.path());
    let completions = north.types("opencloud completions bash");
    assert!(
        completions.contains("complete -F _opencloud"),
        "{completions}"
    );
    north.reads("opencloud doctor --output json", &["\"verdict\": \"good\""]);

    north.write("good.cwl", &shell("echo hello"));
    assert_eq!(north.types("opencloud cwl check good.cwl"), "");
    assert_eq!(
        north.json("opencloud cwl check good.cwl"),
        serde_json::json!([])
    );
    let outputs = north.json_of("opencloud cwl run --outdir made good.cwl");
    assert_eq!(outputs["said"]["class"], "File");
    let said = std::fs::read_to_string(folder.path().join("made/said.txt"));
    assert_eq!(said.unwrap(), "hello\n");

    north.write(
        "bad.cwl",
        "cwlVersion: v1.2\nclass: CommandLineTool\ninputs: 7\n",
    );
    let bad = north.output("opencloud cwl check bad.cwl");
    assert_eq!(bad.status.code(), Some(1));
    let found = String::from_utf8_lossy(&bad.stdout);
    assert!(found.contains("bad.cwl:3:"), "{found}");
    let container = shell("true") + "requirements:\n  DockerRequirement: {dockerPull: debian}\n";
    north.write("container.cwl", &container);
    let unsupported = north.output("opencloud cwl run container.cwl");
    assert_eq!(unsupported.status.code(), Some(33));
}

#[tokio::test]
async fn runs_at_home_are_followed_cancelled_and_tried_again() {
    let (node, folder) = (Node::start("North").await, tempfile::tempdir().unwrap());
    let north = Terminal::open(&node, folder.path());
    north.offers().await;
    let offers = "opencloud offer list";
    north
        .awaits(offers, &["machines compute", "results storage"])
        .await;

    north.write("slow.cwl", &shell("echo begun >&2; sleep 300"));
    let run = north.types("opencloud run --detach --yes slow.cwl");
    let run = run.trim();
    north
        .awaits(
            &format!("opencloud runs {run}"),
            &["main at North: running"],
        )
        .await;
    north
        .awaits(&format!("opencloud logs {run} --tail 1"), &["begun"])
        .await;
    north.is_refused(&format!("opencloud cancel {run}"), &["Cancel", "--yes"]);
    north.types(&format!("opencloud cancel {run} --yes"));
    let cancelled = format!("opencloud runs {run}");
    north.awaits(&cancelled, &["state cancelled"]).await;

    north.write("failing.cwl", &shell("echo no >&2; exit 7"));
    let line = "opencloud run --at main=North --quiet failing.cwl";
    north.is_refused(line, &["did not succeed", "opencloud explain"]);
    let failed = id_beside("failed", &north.types("opencloud runs"));
    let why = format!("opencloud explain {failed}");
    north.reads(&why, &["7"]);
    let attempts = || {
        let run = north.json(&format!("opencloud runs {failed}"));
        let over = run["ended_at_ms"] != 0 && run["ended_at_ms"] != "0";
        let fragment = &run["fragments"][0];
        over.then(|| fragment["attempts"].as_u64()).flatten()
    };
    let before = attempts().unwrap();
    north.types(&format!("opencloud retry {failed}"));
    let again = async || attempts().filter(|attempts| *attempts > before);
    until("it was tried again", SOON, again).await;

    north.write("quick.cwl", &shell("echo done"));
    let quick = "opencloud run --storage storage.results --prefix q quick.cwl";
    north.reads(quick, &["state succeeded"]);
    let id = id_beside("succeeded", &north.types("opencloud runs --limit 1"));
    north.reads(&format!("opencloud results {id}"), &["said/said.txt"]);
    north.types(&format!("opencloud logs {id} --follow"));
}

#[tokio::test]
async fn a_rule_a_denial_a_block_and_a_bill_are_typed() {
    let pair = Pair::meet().await;
    let folder = tempfile::tempdir().unwrap();
    let north = Terminal::open(&pair.north, folder.path());
    let south = Terminal::open(&pair.south, folder.path());
    south.types("opencloud offer compute machines --cores 2 --memory 1GiB --per-core-hour 3600");
    north.types("opencloud offer storage results --size 1GiB");
    let search = "opencloud catalog search";
    north
        .awaits(search, &["compute.machines", "storage.results"])
        .await;

    let ask = "opencloud grant request South --listing compute.machines --cores 1 \
               --memory 512MiB --fragments 1 --wall 1m --for 1d";
    north.types(ask);
    let list = "opencloud grant list";
    let pending = south.awaits(list, &["provider North pending"]).await;
    let denied = id_beside("pending", &pending);
    south.types(&format!(
        "opencloud grant deny {denied} --reason 'not today'"
    ));
    let why = format!("opencloud grant show {denied}");
    north.awaits(&why, &["state denied", "not today"]).await;

    let rule = "opencloud grant rule set members --consumer North --cores 2 --memory 1GiB \
                --fragments 2 --wall 5m --life 30d";
    south.reads(rule, &["wrote rule members"]);
    south.reads("opencloud grant rule list", &["members North all"]);
    north.types(ask);
    let active = north.awaits(list, &["consumer South active"]).await;
    let grant = id_beside("active", &active);

    north.write("bill.cwl", &shell("echo paid"));
    let run = "opencloud run --at main=South --yes bill.cwl";
    north.reads(run, &["state succeeded", "main at South"]);
    let books = format!("opencloud usage books {grant}");
    north.awaits(&books, &["records 1", "state agreed"]).await;
    north.reads(&format!("opencloud usage settle {grant}"), &["1 records"]);
    let records = format!("opencloud usage records --grant {grant}");
    let record = north.reads(&records, &[&*grant, "South bill succeeded", "EUR"]);
    south.reads(&records, &["North bill succeeded"]);
    let csv = format!("opencloud usage export --grant {grant} --format csv");
    assert_eq!(north.types(&csv), south.types(&csv), "books_agree");
    let record = record
        .split_whitespace()
        .find(|word| word.starts_with("att-"));
    let correct = format!("opencloud usage correct {} --wall-ms 1", record.unwrap());
    south.is_refused(&correct, &["wall time 1 ms", "--yes"]);
    south.reads(&format!("{correct} --yes"), &["stands in place of att-"]);
    let settle = format!("opencloud usage settle {grant}");
    north.awaits(&settle, &["2 records, signed by both"]).await;

    // A correction that the consumer saw otherwise: one word for it on both sides, and a sum that says so.
    let corrected = south.json(&records);
    let ids = corrected.as_array().unwrap().iter();
    let mut ids = ids.map(|it| it["record_id"].as_str().unwrap());
    let newest = ids.find(|id| id.ends_with(".1")).unwrap();
    let longer = format!("opencloud usage correct {newest} --wall-ms 9000000 --yes");
    south.reads(&longer, &["stands in place of att-"]);
    north.is_refused(&settle, &["disputed"]);
    for side in [&north, &south] {
        let said = side.awaits(&books, &["state disputed, 2 records"]).await;
        assert!(!said.contains("agreed"), "{said}");
    }
    let told = String::from_utf8(south.output("opencloud usage sum").stderr).unwrap();
    assert!(told.contains("of this is disputed with North"), "{told}");
    let told = String::from_utf8(north.output("opencloud usage sum").stderr).unwrap();
    assert!(
        told.contains("records of South's that we dispute"),
        "{told}"
    );

    south.reads(
        "opencloud grant rule remove members --yes",
        &["deleted rule"],
    );
    let revoke = format!("opencloud grant revoke {grant} --reason 'moving' --yes");
    south.reads(&revoke, &["state revoked"]);
    north
        .awaits(
            &format!("opencloud grant show {grant}"),
            &["revoked", "moving"],
        )
        .await;

    // A blocked peer is refused at the door, in both directions, until the block is lifted.
    south.reads(
        "opencloud peers block North --reason quarrel --yes",
        &["blocked"],
    );
    south.reads("opencloud peers", &["North", "blocked"]);
    north.is_refused(ask, &["reached"]);
    south.reads(list, &["no grants"]);
    let back = "opencloud grant request North --listing storage.results";
    south.is_refused(back, &["blocked"]);
    south.reads("opencloud peers unblock North", &["unblocked"]);
    north
        .awaits("opencloud peers", &["South", "connected"])
        .await;
    north.awaits(ask, &["state pending"]).await;
}
