//! What is too much, and that it is named.

use std::fs;
use std::time::Duration;

use oc_sandbox::{Cancel, End, LimitHit, Limits, Output, Sandbox};

use crate::{limits, run, run_in, sandbox, sandbox_without_groups, script};

fn both() -> [&'static Sandbox; 2] {
    [sandbox(), sandbox_without_groups()]
}

fn ends_with(sandbox: &Sandbox, text: &str, limits: Limits) -> End {
    let folder = tempfile::tempdir().unwrap();
    let said = run_in(sandbox, script(folder.path(), text, limits)).unwrap();
    said.outcome.end
}

#[test]
fn a_command_that_runs_too_long_is_ended_and_the_limit_named() {
    let wall = Duration::from_millis(300);
    for sandbox in both() {
        let end = ends_with(
            sandbox,
            "sleep 1000 & sleep 1000",
            Limits { wall, ..limits() },
        );
        assert_eq!(end, End::Limit(LimitHit::Wall(wall)));
    }
}

#[test]
fn a_command_that_computes_too_long_is_ended_and_the_limit_named() {
    let cpu_time = Duration::from_millis(300);
    for sandbox in both() {
        let limits = Limits {
            cpu_time,
            ..limits()
        };
        let end = ends_with(sandbox, "while :; do :; done", limits);
        assert_eq!(end, End::Limit(LimitHit::CpuTime(cpu_time)));
    }
}

#[test]
fn a_command_that_wants_too_much_memory_is_ended_and_the_limit_named() {
    let memory = 64 << 20;
    for sandbox in both() {
        let text = "perl -e 'my @a; push @a, \"x\" x 1000000 while 1'";
        let end = ends_with(sandbox, text, Limits { memory, ..limits() });
        assert_eq!(end, End::Limit(LimitHit::Memory(memory)));
    }
}

#[test]
fn a_fork_bomb_is_contained_and_the_limit_named() {
    let text = "bomb() { bomb | bomb & }; bomb; for i in 1 2 3 4 5 6 7 8; do sleep 0.1 || exit 9; done; exit 9";
    for sandbox in both() {
        let end = ends_with(
            sandbox,
            text,
            Limits {
                processes: 20,
                ..limits()
            },
        );
        assert_eq!(end, End::Limit(LimitHit::Processes(20)));
    }
}

#[test]
fn where_no_group_counts_the_kernel_bounds_the_processes_of_the_real_root() {
    let ceiling = "/proc/sys/kernel/pid_max";
    let outside = fs::read_to_string(ceiling).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let command = script(folder.path(), &format!("cat {ceiling}"), limits());
    let inside = run_in(sandbox_without_groups(), command).unwrap().stdout;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|part| part.parse().unwrap_or(0));
    let of_each_namespace = (numbers.next(), numbers.next()) >= (Some(6), Some(14));
    // Anybody else is held by RLIMIT_NPROC; before Linux 6.14 there is one ceiling for all.
    let bounded = rustix::process::geteuid().is_root() && of_each_namespace;
    assert_eq!(inside == outside, !bounded, "{inside}");
    assert_eq!(inside.trim() == "428", bounded, "{inside}");
    assert_eq!(fs::read_to_string(ceiling).unwrap(), outside);
}

#[test]
fn a_file_that_grows_too_large_ends_the_command() {
    let file_bytes = 1 << 20;
    for sandbox in both() {
        let text = "exec dd if=/dev/zero of=big bs=64k";
        let end = ends_with(
            sandbox,
            text,
            Limits {
                file_bytes,
                ..limits()
            },
        );
        assert_eq!(end, End::Limit(LimitHit::FileBytes(file_bytes)));
    }
}

#[test]
fn a_folder_that_grows_too_large_ends_the_command() {
    let folder_bytes = 4 << 20;
    let text =
        "i=0; while :; do i=$((i+1)); dd if=/dev/zero of=f$i bs=64k count=4 2>/dev/null; done";
    let end = ends_with(
        sandbox(),
        text,
        Limits {
            folder_bytes,
            ..limits()
        },
    );
    assert_eq!(end, End::Limit(LimitHit::FolderBytes(folder_bytes)));
}

#[test]
fn bytes_in_files_without_a_name_count_too() {
    let folder_bytes = 4 << 20;
    let text =
        "exec 9>hidden; rm hidden; dd if=/dev/zero bs=64k count=128 >&9 2>/dev/null; sleep 1000";
    let end = ends_with(
        sandbox(),
        text,
        Limits {
            folder_bytes,
            ..limits()
        },
    );
    assert_eq!(end, End::Limit(LimitHit::FolderBytes(folder_bytes)));
}

#[test]
fn a_folder_that_is_found_too_large_at_the_end_is_named() {
    let folder_bytes = 1 << 20;
    let text = "dd if=/dev/urandom of=f bs=64k count=32 2>/dev/null";
    let end = ends_with(
        sandbox(),
        text,
        Limits {
            folder_bytes,
            ..limits()
        },
    );
    assert_eq!(end, End::Limit(LimitHit::FolderBytes(folder_bytes)));
}

#[test]
fn too_many_files_end_the_command() {
    let limits = Limits {
        folder_files: 50,
        ..limits()
    };
    let end = ends_with(
        sandbox(),
        "i=0; while :; do i=$((i+1)); : > f$i; done",
        limits,
    );
    assert_eq!(end, End::Limit(LimitHit::FolderFiles(50)));
}

#[test]
fn the_temporary_folder_is_small() {
    let folder = tempfile::tempdir().unwrap();
    let text = "for d in /tmp /dev/shm; do dd if=/dev/zero of=$d/x bs=64k; done";
    let tmp_bytes = 1 << 20;
    let said = run(script(
        folder.path(),
        text,
        Limits {
            tmp_bytes,
            ..limits()
        },
    ));
    assert_eq!(
        said.stderr.matches("No space left").count(),
        2,
        "{}",
        said.stderr
    );
}

#[test]
fn printing_without_end_ends_the_command_and_little_is_kept() {
    for sandbox in both() {
        let end = ends_with(sandbox, "yes", limits());
        assert_eq!(
            end,
            End::Limit(LimitHit::PrintedBytes(limits().printed_bytes))
        );
        let end = ends_with(sandbox, "yes >&2", limits());
        assert_eq!(
            end,
            End::Limit(LimitHit::PrintedBytes(limits().printed_bytes))
        );
    }
}

#[test]
fn standard_output_and_error_in_files_are_bounded() {
    let file_bytes = 1 << 20;
    for redirect in ["yes", "yes >&2"] {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| fs::File::create(folder.path().join(name)).unwrap();
        let command = script(
            folder.path(),
            redirect,
            Limits {
                file_bytes,
                ..limits()
            },
        )
        .stdout(Output::File(file("out")))
        .stderr(Output::File(file("err")));
        let outcome = sandbox().run(command, &Cancel::new().unwrap()).unwrap();
        assert_eq!(outcome.end, End::Limit(LimitHit::FileBytes(file_bytes)));
        for name in ["out", "err"] {
            let length = fs::metadata(folder.path().join(name)).unwrap().len();
            assert!(length <= file_bytes, "{name}: {length}");
        }
    }
}

#[test]
fn usage_is_measured() {
    let text = "perl -e '$x = \"x\" x 50000000; $n = time + 1.5; 1 while time < $n'; sleep 0.2";
    for sandbox in both() {
        let folder = tempfile::tempdir().unwrap();
        let said = run_in(sandbox, script(folder.path(), text, limits())).unwrap();
        assert_eq!(said.outcome.end, End::Exit(0), "{}", said.stderr);
        let usage = said.outcome.usage;
        assert!(usage.wall >= Duration::from_millis(700), "{usage:?}");
        let cpu = usage.user + usage.system;
        assert!(
            cpu >= Duration::from_millis(300) && cpu <= usage.wall,
            "{usage:?}"
        );
        assert!(
            (50_000_000..200_000_000).contains(&usage.peak_memory),
            "{usage:?}"
        );
    }
}
