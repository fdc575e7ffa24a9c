//! The command line for programs: what it prints as JSON, and with which code it ends.

use std::time::Duration;

use oc_testkit::{Node, until};
use serde_json::Value;

use crate::terminal::{Terminal, id_beside};

const SOON: Duration = Duration::from_secs(20);
const DATASET: &str = "dataset.sentinel-2-demo";
const SERVICE: &str = "processing.sentinel-pictures.1.0";
const HELLO: &str = "cwlVersion: v1.2\nclass: Workflow\ninputs: {name: {type: string, label: Who is greeted}}\n\
                     outputs: {said: {type: File, outputSource: greet/said}}\n\
                     steps:\n  greet:\n    in: {name: name}\n    out: [said]\n    run:\n\
                     \x20     class: CommandLineTool\n      label: Greets somebody\n\
                     \x20     baseCommand: [sh, -c, 'echo \"hello $0\"; echo greeting >&2']\n\
                     \x20     inputs: {name: {type: string, inputBinding: {position: 1}}}\n\
                     \x20     outputs: {said: stdout}\n      stdout: said.txt\n";

/// A dataset, a service, machines and storage, all in the catalogue.
async fn offering(north: &Terminal<'_>) {
    for line in [
        "opencloud dataset create testdata/sentinel/collection.json --terms 'for research'",
        "opencloud dataset import sentinel-2-demo testdata/sentinel/*/*.json",
        "opencloud service add sentinel-pictures 1.0 testdata/workflows/sentinel-pictures.cwl",
        "opencloud offer compute machines --cores 2 --memory 1GiB",
        "opencloud offer storage results --size 100MB",
    ] {
        north.json(line);
    }
    until("all is listed", SOON, async || {
        let listed = north.json("opencloud catalog search");
        (listed.as_array()?.len() == 4).then_some(())
    })
    .await;
}

fn length(answer: &Value) -> usize {
    answer.as_array().unwrap().len()
}

#[tokio::test]
async fn every_command_prints_one_json_document() {
    let (node, folder) = (Node::start("North").await, tempfile::tempdir().unwrap());
    let north = Terminal::open(&node, folder.path());
    offering(&north).await;
    north.write("hello.cwl", HELLO);
    let run = north.json("opencloud run hello.cwl --yes --input name=you");
    let run = run["run_id"].as_str().unwrap();
    for line in [
        "network create alliance",
        "network invite alliance --address /ip4/192.0.2.1/tcp/4001",
        "user add alice",
        "user me",
        "dataset count sentinel-2-demo",
        "service show sentinel-pictures 1.0",
        "service update sentinel-pictures 1.0 --description summer",
        &format!("catalog show {SERVICE}"),
        &format!("favorite add {SERVICE}"),
        "grant rule set members --cores 1",
        "plan hello.cwl --input name=you",
        &format!("runs {run}"),
        &format!("results {run} --download made"),
        &format!("explain {run}"),
        &format!("logs {run} --follow"),
    ] {
        let answer = north.json(&format!("opencloud {line}"));
        assert!(!answer.is_array(), "{line}: {answer}");
    }
    for line in [
        "network list",
        "peers",
        "user list",
        "dataset list",
        "dataset reservations",
        "service list",
        "offer list",
        "catalog search",
        "favorite list",
        "grant list --all",
        "grant rule list",
        "runs",
        &format!("logs {run}"),
        "usage records",
        "usage sum",
        "cwl check hello.cwl",
        "doctor",
    ] {
        let answer = north.json(&format!("opencloud {line}"));
        assert!(answer.is_array(), "{line}: {answer}");
    }
    for line in [
        &format!("favorite remove {SERVICE}"),
        "grant rule remove members --yes",
        "user remove alice --yes",
        "network leave alliance --yes",
        "service remove sentinel-pictures 1.0 --yes",
        "dataset remove sentinel-2-demo --yes",
    ] {
        let answer = north.json(&format!("opencloud {line}"));
        assert_eq!(answer, serde_json::json!({}), "{line}");
    }
    north.json("opencloud offer withdraw machines --yes");
}

#[tokio::test]
async fn the_catalogue_and_the_datasets_are_asked_from_the_command_line() {
    let (node, folder) = (Node::start("North").await, tempfile::tempdir().unwrap());
    let north = Terminal::open(&node, folder.path());
    offering(&north).await;
    let found = |options: &str| north.json(&format!("opencloud catalog search {options}"));
    assert_eq!(length(&found("--facet class:Workflow")), 1);
    assert_eq!(length(&found("--facet class:Nonsense")), 0);
    assert_eq!(length(&found("--kind dataset --bbox 1,43,2,44")), 1);
    assert_eq!(length(&found("--kind dataset --bbox -60,10,-50,20")), 0);
    assert_eq!(length(&found("--fresh --owner North")), 4);
    let shown = format!("opencloud catalog show {DATASET}");
    north.reads(&shown, &["kind dataset", "terms for research"]);

    let shown = format!("opencloud catalog show {SERVICE}");
    let tables = [
        "red File[] Band 4 of each scene",
        "brightest int 2600 The value",
        "ndvi_picture File Vegetation index",
        "stack mosaic_red, mosaic_green, mosaic_blue Lays three bands",
    ];
    let said = north.reads(&shown, &tables);
    assert!(!said.contains("cwlVersion"), "{said}");
    let document = north.types(&format!("{shown} --document"));
    let path = folder
        .path()
        .join("testdata/workflows/sentinel-pictures.cwl");
    assert_eq!(
        document.trim_end(),
        std::fs::read_to_string(path).unwrap().trim_end()
    );

    let count = "opencloud dataset count sentinel-2-demo";
    north.reads(count, &["6 images"]);
    north.reads(
        &format!("{count} --from 2030-01-01"),
        &["0 images", "the nearest is"],
    );
    north.reads("opencloud dataset reservations", &["nothing is reserved"]);
    north.reads("opencloud offer list", &["100 MB stored", "nothing"]);

    let address = node.client().base().to_owned();
    let token = node.data().join("admin.token");
    let elsewhere = format!(
        "OPENCLOUD_DATA=/nonexistent opencloud --node {address} --token-file {}",
        token.display()
    );
    north.reads(
        &format!("{elsewhere} user me"),
        &["admin (admin), since 20"],
    );
}

#[tokio::test]
async fn inputs_at_fault_are_answered_with_what_the_workflow_takes() {
    let (node, folder) = (Node::start("North").await, tempfile::tempdir().unwrap());
    let north = Terminal::open(&node, folder.path());
    offering(&north).await;
    north.write("hello.cwl", HELLO);
    let takes = [
        "its inputs: name string Who is greeted",
        "--input NAME=VALUE",
    ];
    for line in [
        "plan hello.cwl",
        "run hello.cwl --yes",
        "run hello.cwl --input nome=you",
    ] {
        north.is_refused(&format!("opencloud {line}"), &takes);
    }
    let listed = [
        "red File[] Band 4",
        "brightest int = 2600",
        "--input NAME=VALUE",
    ];
    north.is_refused(&format!("opencloud plan {SERVICE}"), &listed);
    north.write("band.tif", "no image");
    let path = format!("opencloud plan {SERVICE} --input red=band.tif");
    north.is_refused(&path, &["--input red=@band.tif uploads it"]);

    north.types("opencloud run hello.cwl --yes --input name=you");
    let run = id_beside("succeeded", &north.types("opencloud runs"));
    let logs = |step: &str| north.types(&format!("opencloud logs {run} --step {step}"));
    assert!(logs("greet").contains("greeting"));
    assert_eq!(logs("other"), "");
}

#[tokio::test]
async fn the_exit_code_tells_what_kind_of_failure_it_was() {
    let (node, folder) = (Node::start("North").await, tempfile::tempdir().unwrap());
    let north = Terminal::open(&node, folder.path());
    let token = north.types("opencloud user add alice --role user");
    north.write("alice.token", &token);
    north.write("nobody.token", "no token");
    north.write("hello.cwl", HELLO);
    for (line, code) in [
        ("opencloud plan", 2),
        ("opencloud offer storage st --size 10", 2),
        ("opencloud plan ./nowhere.cwl", 2),
        ("opencloud plan hello.cwl", 2),
        ("opencloud plan hello.cwl --input name=@nowhere.txt", 2),
        ("opencloud dataset count none --from yesterday", 2),
        ("opencloud --node X peers", 2),
        ("opencloud runs 01a1fe83", 3),
        ("opencloud catalog show storage.none", 3),
        ("opencloud --token-file alice.token network create hers", 4),
        ("opencloud --token-file nobody.token user me", 4),
        ("opencloud --node http://127.0.0.1:9 peers", 5),
        ("opencloud user remove alice", 6),
    ] {
        let output = north.output(line);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}\n{errors}");
    }
}
