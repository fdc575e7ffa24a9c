//! The command line as people use it: what it takes, what it says when it cannot.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use oc_testkit::{Node, program, until};
use serde_json::{Value, json};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complained(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_name_that_could_pass_for_another_starts_no_node() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["Sou\u{202e}ht", "", &"a".repeat(101), "So\u{1b}[31muth"] {
        let output = Command::new(program())
            .arg("--data")
            .arg(folder.path().join("data"))
            .args(["up", "--name", name])
            .output()
            .unwrap();
        let text = complained(&output);
        assert_eq!(output.status.code(), Some(78), "{name:?}: {text}");
        assert!(text.contains("a name"), "{text}");
        assert!(!text.contains('\u{202e}'), "{text:?}");
    }
}

#[tokio::test]
async fn importing_again_goes_on_where_it_broke_off() {
    let node = Node::start("South").await;
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/sentinel");
    let collection = samples.join("collection.json");
    let made = node.run(&["dataset", "create", collection.to_str().unwrap()]);
    assert!(made.status.success(), "{}", complained(&made));

    let folder = tempfile::tempdir().unwrap();
    let source = samples.join("lyon-20250614-a");
    for entry in std::fs::read_dir(&source).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let item = folder.path().join("lyon-20250614-a.json");
    let band = folder.path().join("B08.tif");
    let import = || {
        node.run(&[
            "dataset",
            "import",
            "sentinel-2-demo",
            item.to_str().unwrap(),
        ])
    };

    let away = folder.path().join("away");
    std::fs::rename(&band, &away).unwrap();
    let half = import();
    assert!(!half.status.success());
    assert!(
        complained(&half).contains("B08.tif"),
        "{}",
        complained(&half)
    );
    std::fs::rename(&away, &band).unwrap();
    for _ in 0..2 {
        let whole = import();
        assert!(whole.status.success(), "{}", complained(&whole));
    }
    assert!(said(&import()).contains("were there already"));

    std::fs::write(&band, "other bytes").unwrap();
    let other = complained(&import());
    assert!(
        other.contains("other bytes") && other.contains("another id"),
        "{other}"
    );
}

#[tokio::test]
async fn an_item_that_is_refused_leaves_no_file_behind() {
    let node = Node::start("South").await;
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/sentinel");
    let collection = samples.join("collection.json");
    let made = node.run(&["dataset", "create", collection.to_str().unwrap()]);
    assert!(made.status.success(), "{}", complained(&made));
    let source = samples.join("lyon-20250614-a");
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&source).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let path = folder.path().join("lyon-20250614-a.json");
    let original: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let import = |item: &Value| {
        std::fs::write(&path, item.to_string()).unwrap();
        let path = path.to_str().unwrap();
        node.run(&["dataset", "import", "sentinel-2-demo", path])
    };
    let stored = node
        .data()
        .join("objects/sentinel-provider/sentinel-2-demo");
    for (place, value) in [
        ("/geometry/coordinates", json!([[[0, 0], [1, 1]]])),
        ("/properties/datetime", json!("last summer")),
        ("/properties", json!(7)),
    ] {
        let mut faulty = original.clone();
        *faulty.pointer_mut(place).unwrap() = value;
        let refused = import(&faulty);
        assert!(!refused.status.success(), "{place}");
        assert!(!stored.exists(), "{place}: {}", complained(&refused));
    }
    let taken = import(&original);
    assert!(taken.status.success(), "{}", complained(&taken));
    assert!(stored.exists());
}

#[tokio::test]
async fn an_item_cannot_have_a_file_from_elsewhere_sent() {
    let node = Node::start("South").await;
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/sentinel");
    let collection = samples.join("collection.json");
    let made = node.run(&["dataset", "create", collection.to_str().unwrap()]);
    assert!(made.status.success(), "{}", complained(&made));
    let text = std::fs::read(samples.join("lyon-20250614-a/lyon-20250614-a.json")).unwrap();
    let original: Value = serde_json::from_slice(&text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let key = node.data().join("keys/node.json").display().to_string();
    let one = |href: &str| json!({"B04": {"href": href}});
    let with = |field: &str, value: Value| {
        let mut item = original.clone();
        item[field] = value;
        item
    };
    for item in [
        with("assets", one(&key)),
        with("assets", one("../../etc/passwd")),
        with("assets", one("file:///etc/passwd")),
        with("assets", one("http://127.0.0.1:8701/metrics")),
        with("assets", one("http://169.254.169.254/latest/meta-data")),
        with("id", json!("../../x")),
    ] {
        let file = folder.path().join("item.json");
        std::fs::write(&file, item.to_string()).unwrap();
        let output = node.run(&[
            "dataset",
            "import",
            "sentinel-2-demo",
            file.to_str().unwrap(),
        ]);
        assert!(!output.status.success(), "{item}");
        // The node refuses such an item too, from whatever client it comes.
        let request = json!({"dataset": "sentinel-2-demo", "item_json": item.to_string()});
        let token = std::fs::read_to_string(node.data().join("admin.token")).unwrap();
        let answer = reqwest::Client::new()
            .post(format!(
                "{}/api/data/v1/datasets/sentinel-2-demo/items",
                node.address()
            ))
            .bearer_auth(token.trim())
            .json(&request)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 422, "{}", answer.text().await.unwrap());
    }
    let listed = node.run(&["--output", "json", "dataset", "list"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed[0]["items"], 0);
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_is_a_problem_for_programs() {
    let node = Node::start("North").await;
    for (command, code, words) in [
        (vec!["runs", "nonsense"], 3, " runs` shows"),
        (vec!["logs", "run-ffffffff"], 3, " runs` shows"),
        (vec!["grant", "show", "x"], 3, " grant list --all` shows"),
        (vec!["run", "bogus.cwl"], 2, "no such file"),
    ] {
        let output = node.run(&command);
        assert_eq!(output.status.code(), Some(code), "{command:?}");
        let text = complained(&output);
        assert!(text.contains(words), "{command:?}: {text}");
    }
    let output = node.run(&["--output", "json", "runs", "nonsense"]);
    let problem: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(problem["type"], "https://open-cloud.dev/problems/not-found");
    let output = node.run(&["--output", "json", "dataset", "remove", "x", "--yes"]);
    let problem: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(problem["type"], "https://open-cloud.dev/problems/not-found");
    assert_eq!(problem["status"], 404);
    assert!(problem["advice"].as_str().unwrap().contains("dataset list"));
    assert!(output.stdout.is_empty());
}

#[test]
fn the_settings_shown_name_the_paths_that_a_node_uses() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(program())
        .arg("--data")
        .arg(folder.path())
        .args(["up", "--print-config"])
        .output()
        .unwrap();
    let shown = said(&output);
    for path in [
        "keys",
        "store/catalog.db",
        "store/ledger.db",
        "objects/sentinel-provider",
        "work",
    ] {
        let path = folder.path().join(path).display().to_string();
        assert!(shown.contains(&format!("\"{path}\"")), "{path}:\n{shown}");
    }
    assert!(!folder.path().join("keys").exists(), "nothing is made");
}

/// A node with the sample images, machines and storage, all in its catalogue.
async fn node_with_images() -> Node {
    let node = Node::start("South").await;
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/sentinel");
    let file = |path: &str| samples.join(path).display().to_string();
    let scene = |id: &str| file(&format!("{id}/{id}.json"));
    for command in [
        vec!["dataset", "create", &file("collection.json")],
        vec![
            "dataset",
            "import",
            "sentinel-2-demo",
            &scene("toulouse-20250612-a"),
            &scene("toulouse-20250627-a"),
            &scene("lyon-20250614-a"),
        ],
        vec![
            "offer", "compute", "machines", "--cores", "1", "--memory", "1GiB",
        ],
        vec!["offer", "storage", "results", "--size", "1GiB"],
    ] {
        let output = node.run(&command);
        assert!(
            output.status.success(),
            "{command:?}: {}",
            complained(&output)
        );
    }
    until("all is listed", Duration::from_secs(20), async || {
        let found = said(&node.run(&["catalog", "search"]));
        ["dataset.", "compute.", "storage."]
            .iter()
            .all(|kind| found.contains(kind))
            .then_some(())
    })
    .await;
    node
}

#[tokio::test]
async fn images_of_an_input_are_chosen_on_the_command_line() {
    let node = node_with_images().await;
    let folder = tempfile::tempdir().unwrap();
    let tool = folder.path().join("count.cwl");
    let cwl = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [echo]\n\
               inputs:\n  red: {type: 'File[]', inputBinding: {}}\noutputs:\n  said: stdout\nstdout: said.txt\n";
    std::fs::write(&tool, cwl).unwrap();
    let ring = json!([[
        [1.3, 43.5],
        [1.6, 43.5],
        [1.6, 43.7],
        [1.3, 43.7],
        [1.3, 43.5]
    ]]);
    let feature = json!({"type": "Feature", "properties": {},
                         "geometry": {"type": "Polygon", "coordinates": ring}});
    let area = folder.path().join("toulouse.geojson");
    std::fs::write(&area, feature.to_string()).unwrap();
    let tool = tool.to_str().unwrap();
    let plan = |options: &[&str]| {
        let input = ["--input", "red=dataset:South/dataset.sentinel-2-demo#B04"];
        node.run(&[&["plan", tool][..], &input, options].concat())
    };
    let area = area.to_str().unwrap();
    for (options, images) in [
        (vec![], 3),
        (vec!["--area", "1.3,43.5,1.6,43.7"], 2),
        (vec!["--area", area], 2),
        (vec!["--area", area, "--to", "2025-06-20"], 1),
        (vec!["--from", "2025-06-13", "--to", "2025-06-15"], 1),
        (vec!["--filter", "eo:cloud_cover<=100"], 3),
    ] {
        let output = plan(&options);
        let text = said(&output);
        assert!(
            text.contains(&format!("input red: {images} images")),
            "{options:?}: {text}{}",
            complained(&output)
        );
    }
    let misspelt = folder.path().join("inputs.json");
    let inputs = json!({"red": {"dataset": {"dataset": {"owner": "South"}, "quarry": {}}}});
    std::fs::write(&misspelt, inputs.to_string()).unwrap();
    let refused = complained(&node.run(&["plan", tool, "--inputs", misspelt.to_str().unwrap()]));
    assert!(
        refused.contains("`quarry`") && refused.contains("query"),
        "{refused}"
    );
    let none = complained(&node.run(&["plan", tool, "--input", "red=1", "--area", area]));
    assert!(none.contains("no input is a dataset"), "{none}");
}
