//! A shell at a node, as a person has it: `opencloud` on the PATH, the node's folder in the environment.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use oc_testkit::{Node, program, until};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(20);

pub(crate) struct Terminal<'a> {
    node: &'a Node,
    folder: PathBuf,
}

impl<'a> Terminal<'a> {
    /// In a folder where the samples lie as they do in the repository.
    pub(crate) fn open(node: &'a Node, folder: &Path) -> Self {
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
        if !folder.join("testdata").exists() {
            std::os::unix::fs::symlink(samples, folder.join("testdata")).unwrap();
        }
        Self {
            node,
            folder: folder.to_owned(),
        }
    }

    pub(crate) fn output(&self, line: &str) -> Output {
        let programs = program().parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(programs).chain(std::env::split_paths(&path));
        Command::new("sh")
            .args(["-c", line])
            .current_dir(&self.folder)
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("OPENCLOUD_DATA", self.node.data())
            .env_remove("OPENCLOUD_NODE")
            .env_remove("OPENCLOUD_TOKEN_FILE")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Types a line that succeeds; what it printed.
    pub(crate) fn types(&self, line: &str) -> String {
        let output = self.output(line);
        let errors = String::from_utf8_lossy(&output.stderr);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{line}\n{said}{errors}");
        said.into_owned()
    }

    /// Types a line whose answer has these words, however many blanks are between them.
    pub(crate) fn reads(&self, line: &str, words: &[&str]) -> String {
        let said = self.types(line);
        assert!(has(&said, words), "{line}\n{said}\nlacks one of {words:?}");
        said
    }

    /// The same, for an answer that comes in a moment.
    pub(crate) async fn awaits(&self, line: &str, words: &[&str]) -> String {
        let last = std::cell::RefCell::new(String::new());
        let what = format!("`{line}` says {words:?}");
        let found = tokio::time::timeout(
            SOON,
            until(&what, SOON * 2, async || {
                let output = self.output(line);
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                let whole = output.status.success() && has(&said, words);
                let errors = String::from_utf8_lossy(&output.stderr).into_owned();
                last.replace(said.clone() + &errors);
                whole.then_some(said)
            }),
        )
        .await;
        let Ok(found) = found else {
            panic!("{what}, but it said last:\n{}", last.borrow());
        };
        found
    }

    /// Types a line that fails with these words.
    pub(crate) fn is_refused(&self, line: &str, words: &[&str]) {
        let output = self.output(line);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{line}");
        assert!(
            has(&errors, words),
            "{line}\n{errors}\nlacks one of {words:?}"
        );
    }

    /// The answer for programs.
    pub(crate) fn json(&self, line: &str) -> Value {
        self.json_of(&format!("{line} --output json"))
    }

    /// What a line prints, which is JSON.
    pub(crate) fn json_of(&self, line: &str) -> Value {
        serde_json::from_str(&self.types(line)).unwrap()
    }

    /// Offers machines and storage, enough for a run at home, and waits until both are listed.
    pub(crate) async fn offers(&self) {
        self.types("opencloud offer compute machines --cores 2 --memory 1GiB");
        self.types("opencloud offer storage results --size 1GiB");
        until("both are listed", SOON, async || {
            let listed = self.json("opencloud offer list");
            let mut listed = listed.as_array().unwrap().iter();
            listed.all(|offer| offer["listed"] == true).then_some(())
        })
        .await;
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        std::fs::write(self.folder.join(name), content).unwrap();
    }
}

fn has(text: &str, words: &[&str]) -> bool {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.iter().all(|word| text.contains(word))
}

/// The first word of the line that has `word`: the id in a list.
pub(crate) fn id_beside(word: &str, list: &str) -> String {
    let line = list.lines().find(|line| line.contains(word));
    let id = line.and_then(|line| line.split_whitespace().next());
    id.unwrap_or_else(|| panic!("no line has {word}:\n{list}"))
        .to_owned()
}
