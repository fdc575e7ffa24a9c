//! What really runs on this machine, whatever any ledger says.

use std::collections::BTreeSet;
use std::path::Path;

use super::story::Marks;

/// The processes of one look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Processes {
    /// Folders of attempts that have a runner, by name.
    pub(super) attempts: BTreeSet<String>,
    /// How many processes belong to tools, with their shells.
    pub(super) tools: usize,
}

/// Looks for the processes of each node: runners by the node's folder, tools by their marks, as in a sandbox they
/// name no folder.
pub(super) fn look(folders: [&Path; 2], marks: &Marks) -> [Processes; 2] {
    let mut found = [Processes::default(), Processes::default()];
    let roots = folders.map(|data| format!("{}/", data.join("work/attempts").display()));
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let line = String::from_utf8_lossy(&line);
        for ((found, root), mark) in found.iter_mut().zip(&roots).zip(&marks.sides) {
            if let Some((_, below)) = line.split_once(root.as_str()) {
                let name = below.split(['/', '\0']).next().unwrap_or_default();
                found.attempts.insert(name.to_owned());
            }
            let sandbox = line
                .split('\0')
                .next()
                .is_some_and(|it| it.ends_with("bwrap"));
            found.tools += usize::from(!sandbox && line.contains(mark.as_str()));
        }
    }
    found
}
