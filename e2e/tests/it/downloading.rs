//! Results as files of one's own machine: none lost, none overwritten unasked, none elsewhere.

use std::collections::BTreeSet;
use std::path::Path;

use oc_testkit::Node;

use crate::terminal::{Terminal, id_beside};

const TREES: &str = r#"cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c, "mkdir -p x y d/in; echo one > x/a; echo two > y/a; echo three > a; echo four > d/in/b"]
inputs: {}
requirements: {InlineJavascriptRequirement: {}}
outputs:
  all: {type: 'File[]', outputBinding: {glob: [x/a, y/a, a]}}
  tree: {type: Directory, outputBinding: {glob: d}}
  double: {type: int, outputBinding: {outputEval: $(42)}}
"#;

fn contents(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| std::fs::read_to_string(path).unwrap().trim().to_owned())
        .collect()
}

#[tokio::test]
async fn a_download_loses_no_file_and_overwrites_none_unasked() {
    let (node, folder) = (Node::start("North").await, tempfile::tempdir().unwrap());
    let north = Terminal::open(&node, folder.path());
    north.offers().await;
    north.write("trees.cwl", TREES);
    north.reads(
        "opencloud run --yes --quiet trees.cwl",
        &["state succeeded", "double = 42"],
    );
    let run = id_beside("succeeded", &north.types("opencloud runs"));

    let fetch = |options: &str| north.output(&format!("opencloud results {run} {options}"));
    let told = |options: &str| {
        let output = fetch(options);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), told)
    };
    let (done, first) = told("--download dl");
    assert!(done, "{first}");
    let dl = folder.path().join("dl");
    let whole = ["one", "two", "three"].map(str::to_owned);
    assert_eq!(contents(&dl.join("all")), whole.into());
    let deep = std::fs::read_to_string(dl.join("tree/d/in/b")).unwrap();
    assert_eq!(deep, "four\n");

    let results = format!("opencloud results {run}");
    north.reads(&results, &["double = 42", "all/a_2 4 B", "tree/d/in/b"]);
    assert_eq!(north.json(&results)["outputs"]["double"], 42);
    let outputs = std::fs::read_to_string(dl.join("outputs.json")).unwrap();
    let outputs: serde_json::Value = serde_json::from_str(&outputs).unwrap();
    assert_eq!(outputs["double"], 42);
    assert_eq!(
        outputs["tree"]["listing"][0]["listing"][0]["path"],
        "tree/d/in/b"
    );

    let (done, again) = told("--download dl");
    assert!(done, "{again}");
    assert_eq!(again.matches("was there already").count(), 4, "{again}");

    let mine = dl.join("tree/d/in/b");
    std::fs::write(&mine, "mine").unwrap();
    let (done, refused) = told("--download dl");
    assert!(!done, "{refused}");
    assert!(refused.contains("dl/tree/d/in/b"), "{refused}");
    assert!(refused.contains("say --yes"), "{refused}");
    assert_eq!(std::fs::read_to_string(&mine).unwrap(), "mine");
    let (done, replaced) = told("--download dl --yes");
    assert!(done, "{replaced}");
    assert_eq!(std::fs::read_to_string(&mine).unwrap(), "four\n");

    let outside = folder.path().join("outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::create_dir_all(folder.path().join("led")).unwrap();
    std::os::unix::fs::symlink(&outside, folder.path().join("led/tree")).unwrap();
    let (done, refused) = told("--download led --yes");
    assert!(!done, "{refused}");
    assert!(refused.contains("in the way"), "{refused}");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}
