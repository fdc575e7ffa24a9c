//! Ctrl-C at a run that is followed: the person goes, the run stays.

use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use oc_testkit::{Node, program};

use crate::terminal::{Terminal, id_beside};

const SLOW: &str = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [sleep, '300']\n\
                    inputs: {}\noutputs: {}\n";

#[tokio::test]
async fn whoever_leaves_a_run_with_ctrl_c_is_told_that_it_goes_on() {
    let (node, folder) = (Node::start("North").await, tempfile::tempdir().unwrap());
    let north = Terminal::open(&node, folder.path());
    north.offers().await;

    north.write("slow.cwl", SLOW);
    let followed = Command::new(program())
        .args(["run", "--yes", "slow.cwl"])
        .current_dir(folder.path())
        .env("OPENCLOUD_DATA", node.data())
        .env_remove("OPENCLOUD_NODE")
        .env_remove("OPENCLOUD_TOKEN_FILE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    north.awaits("opencloud runs", &["slow running"]).await;
    let run = id_beside("slow", &north.types("opencloud runs"));

    let process = Pid::from_raw(followed.id().try_into().unwrap());
    kill(process, Signal::SIGINT).unwrap();
    let left = followed.wait_with_output().unwrap();
    assert_eq!(left.status.code(), Some(130));
    let said = String::from_utf8_lossy(&left.stderr);
    let told = said.lines().last().unwrap();
    assert!(
        told.starts_with(&format!("the run goes on: `opencloud cancel {run}")),
        "{said}"
    );
    let commands: Vec<_> = told.split('`').skip(1).step_by(2).collect();
    let [cancel, show] = commands[..] else {
        panic!("{told}");
    };
    north.reads(show, &["state running"]);
    north.types(&format!("{cancel} --yes"));
    north.awaits(show, &["state cancelled"]).await;
}
