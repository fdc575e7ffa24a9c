//! The command line of bubblewrap: which namespaces, which mounts, in which order.

use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use crate::command::Command;

/// The user and group inside: `nobody`.
const NOBODY: &str = "65534";

/// Where programs and libraries live. On a merged-/usr system all but the first are links.
const PROGRAMS: [&str; 5] = ["/usr", "/bin", "/sbin", "/lib", "/lib64"];

/// The parts of `/etc` that programs need and that hold no secret: the linker's cache, Debian's
/// alternatives, time zone, fonts, types and limits of formats.
const ETC: [&str; 10] = [
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "alternatives",
    "localtime",
    "fonts",
    "mime.types",
    "magic",
    "ImageMagick-6",
    "proj",
];

/// File descriptors that bubblewrap itself uses; they do not reach the command.
pub(crate) struct Descriptors {
    pub(crate) status: RawFd,
    pub(crate) gate: RawFd,
    pub(crate) seccomp: Option<RawFd>,
}

/// All arguments for running `command`.
pub(crate) fn arguments(command: &Command, fds: &Descriptors) -> Vec<OsString> {
    let mut args = Arguments(Vec::with_capacity(128));
    args.isolation(fds);
    args.system();
    args.own_file_systems(command.limits.tmp_bytes);
    for mount in &command.mounts {
        let option = if mount.writable {
            "--bind"
        } else {
            "--ro-bind"
        };
        args.add([
            option.as_ref(),
            mount.outside.as_os_str(),
            mount.inside.as_os_str(),
        ]);
    }
    // The roots that hold the mount points come last, when nothing has to be made in them any more.
    args.words(["--remount-ro", "/dev", "--remount-ro", "/"]);
    for (name, value) in &command.environment {
        args.add(["--setenv".as_ref(), name.as_os_str(), value.as_os_str()]);
    }
    args.add(["--chdir".as_ref(), command.folder.as_os_str()]);
    args.add(["--".as_ref(), command.program.as_os_str()]);
    args.0.extend(command.arguments.iter().cloned());
    args.0
}

struct Arguments(Vec<OsString>);

impl Arguments {
    fn add<const N: usize>(&mut self, words: [&OsStr; N]) {
        self.0.extend(words.map(OsStr::to_owned));
    }

    fn words<const N: usize>(&mut self, words: [&str; N]) {
        self.0.extend(words.map(OsString::from));
    }

    fn isolation(&mut self, fds: &Descriptors) {
        self.words([
            "--unshare-user",
            "--disable-userns",
            "--unshare-ipc",
            "--unshare-pid",
            "--unshare-net",
            "--unshare-uts",
            "--unshare-cgroup",
        ]);
        self.words(["--uid", NOBODY, "--gid", NOBODY, "--cap-drop", "ALL"]);
        self.words([
            "--hostname",
            "sandbox",
            "--die-with-parent",
            "--new-session",
        ]);
        self.words(["--clearenv"]);
        self.words(["--json-status-fd", &fds.status.to_string()]);
        self.words(["--block-fd", &fds.gate.to_string()]);
        if let Some(seccomp) = fds.seccomp {
            self.words(["--seccomp", &seccomp.to_string()]);
        }
    }

    fn system(&mut self) {
        for place in PROGRAMS.map(Path::new) {
            match std::fs::read_link(place) {
                Ok(target) => self.add(["--symlink".as_ref(), target.as_ref(), place.as_ref()]),
                Err(_) => self.add(["--ro-bind-try".as_ref(), place.as_ref(), place.as_ref()]),
            }
        }
        for name in ETC {
            let place = Path::new("/etc").join(name);
            // A link such as localtime leads into /usr, which is there; binding would follow it twice.
            match std::fs::read_link(&place) {
                Ok(target) => {
                    let target = absolute(&place, target);
                    self.add(["--symlink".as_ref(), target.as_ref(), place.as_ref()]);
                }
                Err(_) => self.add(["--ro-bind-try".as_ref(), place.as_ref(), place.as_ref()]),
            }
        }
    }

    fn own_file_systems(&mut self, tmp_bytes: u64) {
        // A node that runs as root owns /proc/sys, whatever the user inside is called: only a read-only
        // mount keeps the command from setting, for example, the kernel's core_pattern.
        self.words(["--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev"]);
        let size = tmp_bytes.max(4096).to_string();
        for place in ["/dev/shm", "/tmp"] {
            self.words(["--perms", "1777", "--size", &size, "--tmpfs", place]);
        }
    }
}

fn absolute(link: &Path, target: PathBuf) -> PathBuf {
    link.parent()
        .map_or_else(|| target.clone(), |folder| folder.join(&target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Mount};

    fn line(command: &Command) -> String {
        let fds = Descriptors {
            status: 3,
            gate: 4,
            seccomp: Some(5),
        };
        let words = arguments(command, &fds);
        words.join(OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn roots_become_read_only_after_the_last_mount() {
        let command = Command::new("true", "/work", Limits::default())
            .mount(Mount::writable("/srv/a", "/work"))
            .mount(Mount::read_only("/srv/b", "/work/in"));
        let line = line(&command);
        let at = |part: &str| {
            line.find(part)
                .unwrap_or_else(|| panic!("{part} in {line}"))
        };
        assert!(at("--bind /srv/a /work") < at("--ro-bind /srv/b /work/in"));
        assert!(at("--ro-bind /srv/b /work/in") < at("--remount-ro / "));
        assert!(at("--remount-ro /proc") < at("--bind /srv/a"));
    }

    #[test]
    fn a_program_that_looks_like_an_option_stays_a_program() {
        let command = Command::new("--share-net", "/tmp", Limits::default()).args(["--uid", "0"]);
        assert!(line(&command).ends_with("-- --share-net --uid 0"));
    }

    #[test]
    fn of_etc_only_harmless_parts_are_visible() {
        let line = line(&Command::new("true", "/tmp", Limits::default()));
        for secret in [
            "/etc ",
            "/etc/shadow",
            "/etc/passwd",
            "/etc/ssl",
            "/root",
            "/home",
            "/sys",
        ] {
            assert!(!line.contains(secret), "{secret}");
        }
    }
}
