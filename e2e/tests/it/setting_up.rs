//! `./run` on machines where something is missing, played by stub programs.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A machine: the only programs on its PATH are these stubs, which write down how they were called.
struct Machine(TempDir);

impl Machine {
    /// With apt, a user of this id, and these programs.
    fn new(user: u32, programs: &[&str]) -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(machine.bin()).unwrap();
        for real in ["dirname", "env", "cat"] {
            let found = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(real));
            let found = found.iter().find(|path| path.is_file()).unwrap();
            symlink(found, machine.bin().join(real)).unwrap();
        }
        machine.stub("id", &format!("echo {user}"));
        for program in [&["apt-get"], programs].concat() {
            let calls = machine.0.path().join("calls");
            let body = format!("echo \"{program} $*\" >> '{}'", calls.display());
            machine.stub(program, &body);
        }
        machine
    }

    fn bin(&self) -> std::path::PathBuf {
        self.0.path().join("bin")
    }

    fn stub(&self, name: &str, body: &str) {
        let file = self.bin().join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
    }

    fn run(&self, command: &str) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../run");
        Command::new("/bin/sh")
            .arg(script)
            .arg(command)
            .env_clear()
            .env("PATH", self.bin())
            .env("HOME", self.0.path())
            .output()
            .unwrap()
    }

    /// How programs were called, in order.
    fn calls(&self) -> String {
        std::fs::read_to_string(self.0.path().join("calls")).unwrap_or_default()
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn who_has_no_root_is_told_every_command_at_once() {
    let bare = Machine::new(1000, &[]);
    for (command, packages) in [
        ("build", "gcc libc6-dev curl ca-certificates"),
        (
            "demo",
            "gcc libc6-dev curl ca-certificates bubblewrap gdal-bin",
        ),
        (
            "test",
            "gcc libc6-dev curl ca-certificates bubblewrap gdal-bin python3 python3-venv",
        ),
    ] {
        let output = bare.run(command);
        let text = told(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        let lines = format!(
            "    sudo apt-get update\n    sudo apt-get install -y --no-install-recommends {packages}\n"
        );
        assert!(text.ends_with(&lines), "{command}: {text}");
    }
    // A sudo that wants a password cannot be had either.
    bare.stub("sudo", "exit 1");
    bare.stub("cc", "");
    let output = bare.run("build");
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).ends_with("--no-install-recommends curl ca-certificates\n"));
    assert_eq!(bare.calls(), "", "nothing was installed");
}

#[test]
fn who_has_root_gets_what_is_missing_and_then_the_task() {
    let wanted = "apt-get update -qq\n\
                  apt-get install -y -qq --no-install-recommends bubblewrap\n\
                  cargo xtask demo\n";
    let programs = ["cc", "cargo", "gdal_translate"];
    let root = Machine::new(0, &programs);
    let output = root.run("demo");
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(root.calls(), wanted);

    let user = Machine::new(1000, &programs);
    user.stub("sudo", "[ \"$*\" = '-n true' ] || env \"$@\"");
    let output = user.run("demo");
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(user.calls(), wanted);
}

#[test]
fn a_machine_that_has_everything_installs_nothing() {
    let whole = Machine::new(1000, &["cc", "cargo", "bwrap", "gdal_translate"]);
    let output = whole.run("up");
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(whole.calls(), "cargo xtask up\n");
}
