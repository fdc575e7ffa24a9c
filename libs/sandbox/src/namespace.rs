//! The processes inside a sandbox as the node sees them in `/proc`: for what no control group counts.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// All processes of one pid namespace.
#[derive(Debug)]
pub(crate) struct Namespace {
    /// Like `pid:[4026532265]`.
    name: PathBuf,
}

/// Sums over the processes alive at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) processes: u32,
    pub(crate) memory: u64,
    /// In user mode and in the kernel, of these processes and of those they have waited for.
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl Namespace {
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let name = fs::read_link(format!("/proc/{pid}/ns/pid")).ok()?;
        Some(Self { name })
    }

    fn processes(&self) -> impl Iterator<Item = PathBuf> + '_ {
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        all.map(|entry| entry.path()).filter(|process| {
            fs::read_link(process.join("ns/pid")).is_ok_and(|name| name == self.name)
        })
    }

    pub(crate) fn sample(&self) -> Sample {
        let mut sum = Sample::default();
        for process in self.processes() {
            sum.processes += threads(&process).unwrap_or(1);
            sum.memory += resident(&process).unwrap_or(0);
            sum.user += time(&process, [13, 15]).unwrap_or_default();
            sum.system += time(&process, [14, 16]).unwrap_or_default();
        }
        sum
    }

    /// Bytes in files on `device` that are open inside and have no name any more: no walk over a folder
    /// finds them.
    pub(crate) fn nameless_bytes(&self, device: u64) -> u64 {
        let mut seen = BTreeSet::new();
        let open = self
            .processes()
            .flat_map(|process| fs::read_dir(process.join("fd")));
        open.flatten()
            .flatten()
            .filter_map(|entry| fs::metadata(entry.path()).ok())
            .filter(|file| file.is_file() && file.nlink() == 0 && file.dev() == device)
            .filter(|file| seen.insert(file.ino()))
            .map(|file| file.blocks() * 512)
            .sum()
    }
}

fn threads(process: &Path) -> Option<u32> {
    stat_field(process, 19)
}

fn resident(process: &Path) -> Option<u64> {
    let text = fs::read_to_string(process.join("statm")).ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

fn time(process: &Path, fields: [usize; 2]) -> Option<Duration> {
    let [own, children] = fields.map(|field| stat_field::<u64>(process, field));
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(Duration::from_millis(
        (own? + children?) * 1000 / per_second,
    ))
}

/// A field of `/proc/<pid>/stat`, counted from 0. The second one is a name that may hold anything, so
/// counting begins behind its closing parenthesis.
fn stat_field<T: std::str::FromStr>(process: &Path, index: usize) -> Option<T> {
    let text = fs::read_to_string(process.join("stat")).ok()?;
    let rest = text.rsplit_once(") ")?.1;
    rest.split(' ').nth(index - 2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_process_is_counted_in_its_namespace() {
        let own = i32::try_from(std::process::id()).unwrap();
        let namespace = Namespace::of(own).unwrap();
        let sample = namespace.sample();
        assert!(sample.processes >= 1 && sample.memory > 0, "{sample:?}");
    }

    #[test]
    fn a_file_without_a_name_is_still_counted() {
        let own = i32::try_from(std::process::id()).unwrap();
        let namespace = Namespace::of(own).unwrap();
        let file = tempfile::tempfile().unwrap();
        let device = file.metadata().unwrap().dev();
        let before = namespace.nameless_bytes(device);
        std::io::Write::write_all(&mut &file, &vec![1; 1 << 20]).unwrap();
        file.sync_all().unwrap();
        assert!(namespace.nameless_bytes(device) >= before + (1 << 20));
    }
}
