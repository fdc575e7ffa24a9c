//! What is out of reach.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;

use oc_sandbox::{Cancel, Command, End, Folder, LimitMeans, Mount, SandboxError};

use crate::{limits, run, sandbox, script, shell};

#[test]
fn the_report_says_which_means_are_used() {
    let report = sandbox().report();
    assert!(report.bubblewrap.is_some());
    assert_eq!(
        report.limits == LimitMeans::Rlimits,
        !report.why.is_empty(),
        "{report:?}"
    );
    let without = crate::sandbox_without_groups().report();
    assert_eq!(without.limits, LimitMeans::Rlimits);
    assert_eq!(without.why, ["control groups are switched off"]);
}

#[test]
fn the_network_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = shell(&format!(
        "exec 2>&1; bash -c 'echo hello > /dev/tcp/127.0.0.1/{port}'; echo $?; cat /proc/net/dev"
    ));
    assert!(
        said.stdout.contains("Connection refused\n1\n"),
        "{}",
        said.stdout
    );
    let (_, table) = said.stdout.split_once("Inter-").unwrap();
    let interfaces = table.lines().filter_map(|line| line.split_once(':'));
    let interfaces: Vec<_> = interfaces.map(|(name, _)| name.trim()).collect();
    assert_eq!(interfaces, ["lo"]);
}

#[test]
fn secrets_and_other_folders_of_the_node_do_not_exist_inside() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let places = [
        "/root",
        "/home",
        "/work-of-others",
        "/etc/shadow",
        "/etc/passwd",
        "/etc/ssl",
        "/var",
        "/sys",
        "/run",
        outside.path().to_str().unwrap(),
    ];
    for place in places {
        let said = shell(&format!("ls -la {place}"));
        assert_ne!(said.outcome.end, End::Exit(0), "{place}: {}", said.stdout);
        assert!(
            said.stderr.contains("No such file"),
            "{place}: {}",
            said.stderr
        );
    }
}

#[test]
fn the_system_cannot_be_written() {
    let places = [
        "/x",
        "/usr/bin/x",
        "/etc/x",
        "/dev/x",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/hostname",
        "/proc/self/oom_score_adj",
    ];
    for place in places {
        let said = shell(&format!("printf x > {place}"));
        assert_ne!(said.outcome.end, End::Exit(0), "{place}");
        assert!(
            said.stderr.contains("Read-only"),
            "{place}: {}",
            said.stderr
        );
    }
}

#[test]
fn a_read_only_mount_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = tempfile::tempdir().unwrap();
    fs::write(inputs.path().join("a"), "input").unwrap();
    let text =
        "cat /in/a; exec 2>&1; echo x > /in/a; rm /in/a; chmod 777 /in/a; ln /in/a b; touch /in/b";
    let command = script(folder.path(), text, limits());
    let said = run(command.mount(Mount::read_only(inputs.path(), "/in")));
    assert!(said.stdout.starts_with("input"), "{}", said.stdout);
    assert_eq!(
        said.stdout.matches("Read-only").count(),
        4,
        "{}",
        said.stdout
    );
    assert_eq!(
        fs::read_to_string(inputs.path().join("a")).unwrap(),
        "input"
    );
    assert_eq!(fs::read_dir(inputs.path()).unwrap().count(), 1);
}

#[test]
fn the_command_is_nobody_without_capabilities_and_cannot_gain_any() {
    let said = shell(
        "id -u; id -g; grep -E 'Cap(Prm|Eff|Bnd)|NoNewPrivs|Seccomp:' /proc/self/status; unshare -U true",
    );
    let expected = "65534\n65534\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
                    CapBnd:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";
    assert_eq!(said.stdout, expected);
    assert!(
        said.stderr.contains("Operation not permitted"),
        "{}",
        said.stderr
    );
}

#[test]
fn only_its_own_processes_and_streams_are_visible() {
    let said = shell("ls -d /proc/[0-9]* | wc -l; ls /proc/self/fd | tr '\\n' ' '; hostname");
    let lines: Vec<&str> = said.stdout.lines().collect();
    // The first process, the shell, and both ends of the pipe.
    assert!(lines[0].parse::<u32>().unwrap() <= 5, "{lines:?}");
    // The fourth is the listing's own.
    assert_eq!(lines[1], "0 1 2 3 sandbox");
}

#[test]
fn the_environment_of_the_node_stays_outside() {
    let said = shell("env | sort");
    let names = said
        .stdout
        .lines()
        .filter_map(|line| line.split('=').next());
    assert_eq!(names.collect::<Vec<_>>(), ["LANG", "PATH", "PWD", "TMPDIR"]);
}

#[test]
fn sockets_to_the_machine_below_are_refused() {
    let text = "perl -e 'use Socket; socket(my $s, 40, SOCK_STREAM, 0) or print \"$!\"'";
    assert_eq!(shell(text).stdout, "Operation not permitted");
}

#[test]
fn what_is_written_lies_in_the_folder_and_what_is_linked_out_is_not_collected() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("work");
    fs::create_dir(&folder).unwrap();
    fs::write(outer.path().join("secret"), "secret").unwrap();
    let said = run(script(
        &folder,
        "echo good > good; ln -s ../secret bad; ln -s /etc/shadow worse; ln -s good fine",
        limits(),
    ));
    assert_eq!(said.outcome.end, End::Exit(0), "{}", said.stderr);
    let folder = Folder::open(folder).unwrap();
    for name in ["bad", "worse"] {
        let answer = folder.open_file(name.as_ref());
        assert!(
            matches!(answer, Err(SandboxError::Escapes { .. })),
            "{answer:?}"
        );
    }
    let mut removed = folder.tidy(&[]).unwrap();
    removed.sort_by(|a, b| a.path.cmp(&b.path));
    let removed: Vec<_> = removed.iter().map(|r| r.path.to_str().unwrap()).collect();
    assert_eq!(removed, ["bad", "worse"]);
    assert_eq!(
        fs::read_to_string(folder.path().join("fine")).unwrap(),
        "good\n"
    );
}

#[test]
fn a_link_planted_as_a_mount_point_does_not_lead_a_mount_outside() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("work");
    fs::create_dir(&folder).unwrap();
    symlink(outer.path(), folder.join("in")).unwrap();
    let command = script(&folder, "echo x > in/planted", limits());
    let command = command.mount(Mount::read_only("/usr/share", "/work/in"));
    let _refused_or_harmless = sandbox().run(command, &Cancel::new().unwrap());
    assert!(!outer.path().join("planted").exists());
}

#[test]
fn a_program_that_is_missing_is_named() {
    let command = || Command::new("gdal_nonsense", "/tmp", limits());
    let answer = sandbox().run(command(), &Cancel::new().unwrap());
    let error = answer.unwrap_err();
    assert!(
        matches!(&error, SandboxError::ProgramNotFound { program } if program == "gdal_nonsense"),
        "{error:?}"
    );
    let command = Command::new("/usr/share", "/tmp", limits());
    let answer = sandbox().run(command, &Cancel::new().unwrap());
    assert!(
        matches!(answer, Err(SandboxError::ProgramRefused { .. })),
        "{answer:?}"
    );
}
