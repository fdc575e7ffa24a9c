//! Files of a person's machine as inputs of a run.

use std::time::Duration;

use oc_testkit::{Node, until};

use crate::terminal::{Terminal, id_beside};

const SOON: Duration = Duration::from_secs(20);

/// A tool that puts its files one behind the other.
const CAT: &str = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: cat\n\
                   inputs:\n  files: {type: 'File[]', label: Texts, inputBinding: {position: 1}}\n\
                   outputs:\n  said: stdout\nstdout: said.txt\n";

async fn offering(north: &Terminal<'_>) {
    north.types("opencloud offer compute machines --cores 2 --memory 1GiB");
    north.types("opencloud offer storage results --size 1GiB");
    north.types("opencloud offer storage archive --size 1GiB");
    until("all are listed", SOON, async || {
        let listed = north.json("opencloud catalog search");
        (listed.as_array()?.len() == 3).then_some(())
    })
    .await;
}

/// What the last run said.
fn said(north: &Terminal<'_>, who: &str, folder: &std::path::Path) -> String {
    let runs = north.types(&format!("opencloud {who} runs --limit 1"));
    let run = id_beside("succeeded", &runs);
    // Two people may be shown the same short id, for runs of their own.
    let into = tempfile::tempdir_in(folder).unwrap();
    north.types(&format!(
        "opencloud {who} results {run} --download {}",
        into.path().display()
    ));
    std::fs::read_to_string(into.path().join("said/said.txt")).unwrap()
}

#[tokio::test]
async fn files_of_this_machine_are_uploaded_and_read_by_a_run() {
    let (node, folder) = (Node::start("North").await, tempfile::tempdir().unwrap());
    let north = Terminal::open(&node, folder.path());
    offering(&north).await;
    north.write("cat.cwl", CAT);
    north.write("hello world.txt", "hello\n");
    std::fs::create_dir(folder.path().join("order")).unwrap();
    north.write("order/there.txt", "there\n");
    let run = "opencloud run cat.cwl --yes --quiet";

    let one = north.output(&format!("{run} --input 'files=@hello world.txt'"));
    let told = String::from_utf8_lossy(&one.stderr).into_owned();
    assert!(one.status.success(), "{told}");
    let key = "storage.archive/inputs-admin/";
    assert!(told.contains(&format!("uploaded as {key}")), "{told}");
    assert_eq!(said(&north, "", folder.path()), "hello\n");

    let two = "--input 'files=@hello world.txt' --input files=@order/there.txt";
    let two = north.output(&format!("{run} --storage storage.archive {two}"));
    let told = String::from_utf8_lossy(&two.stderr).into_owned();
    assert!(two.status.success(), "{told}");
    assert!(told.contains(&format!("lies already as {key}")), "{told}");
    assert_eq!(said(&north, "", folder.path()), "hello\nthere\n");

    north.write(
        "order/job.yml",
        "files:\n- {class: File, path: there.txt}\n- class: File\n  location: ../hello%20world.txt\n\
         - {class: File, basename: more.txt, contents: more}\n",
    );
    let order = format!("{run} --inputs order/job.yml");
    north.is_refused(&order, &["hello world.txt lies outside", "--allow-outside"]);
    north.reads(&format!("{order} --allow-outside"), &["state succeeded"]);
    assert_eq!(said(&north, "", folder.path()), "there\nhello\nmore");

    // Everybody uploads into a folder of their own, and names nobody else's.
    let token = north.types("opencloud user add alice --role user");
    north.write("alice.token", &token);
    let alice = "--token-file alice.token";
    north.types(&format!("{run} {alice} --input 'files=@hello world.txt'"));
    assert_eq!(said(&north, alice, folder.path()), "hello\n");
    let digest = told.split("inputs-admin/").nth(1).unwrap();
    let theirs = format!("oc://{key}{}/hello_world.txt", &digest[..16]);
    let file = format!(r#"files=[{{"class":"File","location":"{theirs}"}}]"#);
    north.types(&format!("{run} --input '{file}'"));
    let stolen = format!("{run} {alice} --input '{file}'");
    north.is_refused(&stolen, &["there is no `inputs-admin/"]);

    let missing = format!("{run} --input files=@nowhere.txt");
    north.is_refused(&missing, &["input `files`", "nowhere.txt cannot be read"]);
    let address = r#"files=[{"class":"File","location":"http://169.254.169.254/x"}]"#;
    let address = format!("{run} --input '{address}'");
    north.is_refused(&address, &["points at a file by location"]);
}

#[tokio::test]
async fn nothing_is_uploaded_by_a_plan_nor_by_a_run_that_is_refused() {
    let (node, folder) = (Node::start("North").await, tempfile::tempdir().unwrap());
    let north = Terminal::open(&node, folder.path());
    offering(&north).await;
    north.write("cat.cwl", CAT);
    north.write("hello.txt", "hello\n");
    std::fs::create_dir(folder.path().join("all")).unwrap();
    north.write("all/hello.txt", "hello\n");
    north.reads(
        "opencloud plan cat.cwl --input files=@hello.txt",
        &["main at North"],
    );
    for (inputs, said) in [
        ("--input file=@hello.txt", "file"),
        ("--input files=@all", "File"),
        ("--input files=@hello.txt --at none=North", "none"),
    ] {
        north.is_refused(&format!("opencloud run cat.cwl --yes {inputs}"), &[said]);
    }
    let sent = "inputs-admin";
    let mut stored = Vec::new();
    for offer in ["archive", "results"] {
        stored.extend(node.client().compute().objects(offer, sent).await.unwrap());
    }
    assert_eq!(stored, []);
}

#[tokio::test]
async fn a_whole_folder_is_an_input() {
    let (node, folder) = (Node::start("North").await, tempfile::tempdir().unwrap());
    let north = Terminal::open(&node, folder.path());
    offering(&north).await;
    north.write(
        "tree.cwl",
        "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [find, -L]\n\
         inputs:\n  folder: {type: Directory, inputBinding: {position: 1}}\n\
         arguments: [{valueFrom: -type, position: 2}, {valueFrom: f, position: 3}, {valueFrom: -printf, position: 4}, {valueFrom: '%P ', position: 5}]\n\
         outputs:\n  said: stdout\nstdout: said.txt\n",
    );
    std::fs::create_dir_all(folder.path().join("scenes/june")).unwrap();
    north.write("scenes/june/red.txt", "red");
    north.write("scenes/readme.txt", "two");
    north.types("opencloud run tree.cwl --yes --quiet --input folder=@scenes");
    let said = said(&north, "", folder.path());
    let mut found: Vec<_> = said.split_whitespace().collect();
    found.sort_unstable();
    assert_eq!(found, ["june/red.txt", "readme.txt"]);
}
