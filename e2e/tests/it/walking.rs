//! The README's walk between two machines, typed as it stands there: each line that is added to it, changed or
//! taken away needs its words here.

use std::net::TcpListener;
use std::path::Path;

use oc_testkit::Node;

use crate::terminal::{Terminal, id_beside};

/// What a line does when it is typed.
#[derive(Clone, Copy)]
enum Effect {
    /// Starts a node, which the test has done.
    Starts,
    /// Shows something, perhaps in a moment.
    Shows,
    /// Changes something at once.
    Changes,
    /// Changes something after a question.
    Asks,
}
use Effect::{Asks, Changes, Shows, Starts};

/// Each line of the walk by its begin, and what its answer has.
const WALK: [(&str, Effect, &[&str]); 32] = [
    ("north$ opencloud up --name North", Starts, &[]),
    ("south$ opencloud up --name South", Starts, &[]),
    (
        "north$ opencloud doctor",
        Shows,
        &["ok sandbox bubblewrap", "ok node"],
    ),
    (
        "north$ opencloud network create alliance",
        Changes,
        &["name alliance", "listens on"],
    ),
    (
        "north$ opencloud network invite alliance",
        Changes,
        &["opencloud-join:v1:"],
    ),
    ("south$ opencloud network join", Changes, &["name alliance"]),
    ("south$ opencloud peers", Shows, &["North", "connected"]),
    ("north$ opencloud peers", Shows, &["South", "connected"]),
    (
        "south$ opencloud dataset create",
        Changes,
        &["sentinel-2-demo"],
    ),
    ("south$ opencloud dataset import", Changes, &["6"]),
    (
        "south$ opencloud service add",
        Changes,
        &["registered sentinel-pictures 1.0"],
    ),
    (
        "south$ opencloud offer compute machines",
        Changes,
        &["machines"],
    ),
    (
        "north$ opencloud offer storage results",
        Changes,
        &["results"],
    ),
    (
        "north$ opencloud catalog search --owner South",
        Shows,
        &[
            "dataset.sentinel-2-demo",
            "compute.machines",
            "processing.sentinel-pictures.1.0",
        ],
    ),
    (
        "north$ opencloud grant request South",
        Changes,
        &["we are consumer", "partner South"],
    ),
    (
        "south$ opencloud grant list",
        Shows,
        &["provider North pending"],
    ),
    (
        "south$ opencloud grant approve",
        Changes,
        &["state offered"],
    ),
    (
        "north$ opencloud grant list",
        Shows,
        &["consumer South active"],
    ),
    (
        "north$ opencloud plan South/processing.sentinel-pictures.1.0",
        Shows,
        &[
            "input red: 3 images",
            "input nir: 3 images",
            " at South: ",
            "cost: at most 0.",
            "EUR",
        ],
    ),
    ("north$ opencloud runs", Shows, &["succeeded", "EUR"]),
    (
        "north$ opencloud results",
        Changes,
        &["true_colour", "ndvi_picture"],
    ),
    ("north$ opencloud logs", Shows, &["compute_ndvi | "]),
    ("north$ opencloud explain", Shows, &["South", "succeeded"]),
    (
        "north$ opencloud usage books",
        Shows,
        &["records 1", "state agreed"],
    ),
    ("north$ opencloud usage sum", Shows, &["South", "EUR"]),
    ("north$ opencloud usage export", Shows, &[" -"]),
    ("south$ opencloud usage export", Shows, &[" -"]),
    ("north$ opencloud usage export", Changes, &[]),
    (
        "north$ opencloud usage verify bill.json",
        Shows,
        &[
            "North",
            "South",
            "records 1",
            "valid: both organisations signed",
        ],
    ),
    ("north$ opencloud grant end", Asks, &["state ended"]),
    (
        "south$ opencloud offer withdraw machines",
        Asks,
        &["machines"],
    ),
    (
        "south$ opencloud network leave alliance",
        Asks,
        &["left alliance"],
    ),
];

/// The lines of the README's section that are typed, without their comments; a continued line is one.
fn typed() -> Vec<String> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let section = readme.split("\n## Two real machines\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let whole = section.replace("\\\n", " ");
    let lines = whole.lines().map(str::trim);
    let typed = lines.filter(|line| line.starts_with("north$ ") || line.starts_with("south$ "));
    typed
        .map(|line| line.split(" # ").next().unwrap().trim().to_owned())
        .collect()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn the_walk_of_the_readme_works_word_for_word() {
    let (north, south) = (Node::start("North").await, Node::start("South").await);
    let folder = tempfile::tempdir().unwrap();
    let north = Terminal::open(&north, folder.path());
    let south = Terminal::open(&south, folder.path());
    let port = free_port().to_string();
    let [mut grant, mut run] = [const { String::new() }; 2];
    let mut exports = Vec::new();

    let lines = typed();
    assert_eq!(lines.len(), WALK.len(), "{lines:#?}");
    for (line, (begin, effect, words)) in lines.iter().zip(WALK) {
        assert!(
            line.starts_with(begin),
            "the README has `{line}`, the test `{begin}`"
        );
        let (prompt, line) = line.split_once("$ ").unwrap();
        let terminal = if prompt == "north" { &north } else { &south };
        let line = line
            .replace("/dns4/north.example.org", "/ip4/127.0.0.1")
            .replace("4001", &port)
            .replace(" GRANT", &format!(" {grant}"))
            .replace(" RUN", &format!(" {run}"));
        let said = match effect {
            Starts => continue,
            Shows => terminal.awaits(&line, words).await,
            Changes => terminal.reads(&line, words),
            Asks => {
                terminal.is_refused(&line, &["?", "say --yes if this is meant"]);
                terminal.reads(&format!("{line} --yes"), words)
            }
        };
        match begin {
            "north$ opencloud network invite alliance" => south.write("invitation", &said),
            "south$ opencloud grant list" => grant = id_beside("pending", &said),
            "north$ opencloud runs" => run = id_beside("succeeded", &said),
            _ if line.starts_with("opencloud plan ") => runs(&north, &line),
            _ if line.ends_with("| sha256sum") => exports.push(said),
            _ => {}
        }
    }

    assert_eq!(exports.len(), 2);
    assert_eq!(exports[0], exports[1], "books_agree");
    let outputs = std::fs::read_dir(folder.path().join("pictures")).unwrap();
    // Beside a folder for each output lies what all of them are worth.
    let outputs = outputs.map(|output| output.unwrap().path());
    let pictures = outputs
        .filter(|output| output.is_dir())
        .flat_map(|output| std::fs::read_dir(output).unwrap());
    let pictures: Vec<_> = pictures.map(|file| file.unwrap().path()).collect();
    let is_picture = |path: &Path| std::fs::read(path).unwrap().starts_with(b"\x89PNG");
    assert!(pictures.len() >= 3, "{pictures:?}");
    assert!(pictures.iter().any(|path| is_picture(path)), "{pictures:?}");
    south.reads("opencloud network list", &["in no network"]);
    south.reads("opencloud grant list", &["no grants"]);
    south.reads("opencloud grant list --all", &["books only"]);
    south.reads("opencloud usage records", &[&grant]);
    south.reads(&format!("opencloud usage books {grant}"), &["records 1"]);
    let left = south.types(&format!(
        "opencloud usage export --grant {grant} | sha256sum"
    ));
    assert_eq!(left, exports[0]);
}

/// "The same with `run` and `--prefix toulouse` does it": it asks, and then it does.
fn runs(north: &Terminal<'_>, plan: &str) {
    let run = plan.replacen("opencloud plan", "opencloud run", 1) + " --prefix toulouse";
    north.is_refused(&run, &["This costs at most", "Start it?", "say --yes"]);
    north.reads("opencloud runs", &["no runs yet"]);
    let words = ["state succeeded", "at South: succeeded"];
    north.reads(&format!("{run} --yes"), &words);
}
