//! `opencloud demo --keep`: the story ends, the two nodes go on.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use oc_client::Client;
use oc_testkit::{program, until};
use secrecy::SecretString;

/// The nodes that the demonstration left; they end with the test, whatever it finds.
struct Left(Vec<Pid>);

impl Drop for Left {
    fn drop(&mut self) {
        for node in &self.0 {
            let _ = kill(*node, Signal::SIGKILL);
        }
    }
}

/// `Stop them with: kill 12 13, then remove FOLDER`.
fn farewell(said: &str) -> (Left, PathBuf) {
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("Stop them with: kill "));
    let (nodes, folder) = line.unwrap().split_once(", then remove ").unwrap();
    let nodes = nodes
        .split(' ')
        .map(|id| Pid::from_raw(id.parse().unwrap()));
    (Left(nodes.collect()), PathBuf::from(folder))
}

fn typed(line: &str) -> Output {
    let words = line.split(' ').skip(1);
    Command::new(program()).args(words).output().unwrap()
}

#[tokio::test]
async fn a_demonstration_that_is_kept_leaves_both_nodes_and_says_what_to_try() {
    let temporary = tempfile::tempdir().unwrap();
    let output = Command::new(program())
        .args(["demo", "--quiet", "--keep"])
        .env("TMPDIR", temporary.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    for words in [
        "Where it ran, and why",
        "The pictures",
        "What it cost",
        "byte for byte",
    ] {
        assert!(said.contains(words), "{words}:\n{said}");
    }
    let (left, base) = farewell(&said);
    assert_eq!(left.0.len(), 2, "{said}");

    let running = said.split("Both nodes go on running:\n").nth(1).unwrap();
    for (line, node) in running.lines().zip(&left.0) {
        let address = line.split_whitespace().nth(1).unwrap();
        let name = line.split_whitespace().next().unwrap();
        let token = base.join(name.to_lowercase()).join("admin.token");
        let token = std::fs::read_to_string(token).unwrap();
        let token = SecretString::from(token.trim().to_owned());
        let client = Client::new(address, Some(token)).unwrap();
        assert_eq!(client.discovery().identity().await.unwrap().name, name);
        assert!(line.ends_with(&format!("process {node}")), "{line}");
    }
    let next: Vec<_> = said
        .lines()
        .filter_map(|line| line.strip_prefix("  opencloud "))
        .map(|line| format!("opencloud {line}"))
        .collect();
    assert_eq!(next.len(), 5, "{said}");
    for line in &next {
        let withdraws = line.contains(" offer withdraw ");
        let output = typed(&if withdraws {
            format!("{line} --yes")
        } else {
            line.clone()
        });
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}\n{errors}");
    }

    // What it left lies where the system puts such things: nodes to remove, pictures to keep.
    assert_eq!(base.parent(), Some(temporary.path()));
    assert!(base.join("north").is_dir() && base.join("south").is_dir());
    let folders = std::fs::read_dir(temporary.path()).unwrap();
    let folders = folders.map(|entry| entry.unwrap().path());
    let pictures = folders.into_iter().find(|path| *path != base).unwrap();
    assert!(pictures.join("true-colour.png").is_file());
    assert!(said.contains(&pictures.display().to_string()), "{said}");

    for node in &left.0 {
        kill(*node, Signal::SIGTERM).unwrap();
    }
    until("both have ended", Duration::from_secs(20), async || {
        let gone = left.0.iter().all(|node| is_over(*node));
        gone.then_some(())
    })
    .await;
}

/// Ended, perhaps not yet waited for by whoever takes in processes without a parent.
fn is_over(node: Pid) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(node.to_string()).join("stat"));
    stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z "))
}
