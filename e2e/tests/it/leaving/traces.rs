//! What a node's folder and the machine's processes still say of somebody.
//!
//! The books stay: accounting's two files may say whose bill it is, under which grants and for which runs, and
//! discovery keeps the partner's KeySets, without which no signature in the books could be verified.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// Files that are the books.
const BOOKS: [&str; 2] = ["ledger.db", "accounting.db"];
/// A run of characters that may hide something in base64.
const HIDING: usize = 40;

/// What to look for, with what it is.
#[derive(Default, Clone)]
pub(super) struct Names {
    names: Vec<(&'static str, String)>,
    of_the_bill: Vec<&'static str>,
}

impl Names {
    /// What may stand nowhere.
    pub(super) fn add(&mut self, what: &'static str, name: &str) {
        self.names.push((what, name.to_owned()));
    }

    /// What the books have to say.
    pub(super) fn add_to_the_bill(&mut self, what: &'static str, name: &str) {
        self.add(what, name);
        self.of_the_bill.push(what);
    }

    fn beside_the_bill(&self) -> Self {
        let mut rest = self.clone();
        rest.names
            .retain(|(what, _)| !self.of_the_bill.contains(what));
        rest
    }

    /// What of it occurs in these bytes, also within base64.
    fn found_in(&self, bytes: &[u8]) -> Vec<&'static str> {
        let mut found = self.plain(bytes);
        let inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
        for text in bytes
            .split(|byte| !inside(byte))
            .filter(|t| t.len() >= HIDING)
        {
            let whole = &text[..text.len() - usize::from(text.len() % 4 == 1)];
            let decoded = STANDARD_NO_PAD
                .decode(whole)
                .or_else(|_| URL_SAFE_NO_PAD.decode(whole));
            found.extend(decoded.iter().flat_map(|hidden| self.found_in(hidden)));
        }
        found
    }

    fn plain(&self, bytes: &[u8]) -> Vec<&'static str> {
        let holds = |name: &str| {
            bytes
                .windows(name.len())
                .any(|part| part == name.as_bytes())
        };
        let found = self.names.iter().filter(|(_, name)| holds(name));
        found.map(|(what, _)| *what).collect()
    }
}

/// Every place below a node's folder that names something of `names` which it should not.
pub(super) fn traces(data: &Path, names: &Names) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let shown = path.strip_prefix(data).unwrap().display().to_string();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            for what in names.found_in(shown.as_bytes()) {
                found.push(format!("{what} in the name of {shown}"));
            }
            let beside = names.beside_the_bill();
            let names = match BOOKS.iter().any(|book| name.starts_with(book)) {
                true => &beside,
                false => names,
            };
            if path.is_dir() {
                folders.push(path);
            } else if name == "discovery.db" {
                // It holds the KeySets: looked at row by row.
                found.extend(rows(&path, names));
            } else {
                let bytes = std::fs::read(&path).unwrap();
                let whats = names.found_in(&bytes);
                if !whats.is_empty() && name.ends_with(".db") {
                    found.extend(rows(&path, names));
                }
                found.extend(whats.iter().map(|what| format!("{what} in {shown}")));
            }
        }
    }
    found
}

/// The rows of every table that name something. Of a partner's record, the KeySets are left out.
fn rows(file: &Path, names: &Names) -> Vec<String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = Connection::open_with_flags(file, flags).unwrap();
    let tables: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let mut found = Vec::new();
    for table in tables {
        let mut all = connection
            .prepare(&format!("SELECT * FROM {table}"))
            .unwrap();
        let columns = all.column_count();
        let mut rows = all.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cells: Vec<Vec<u8>> = (0..columns)
                .map(|column| match row.get_ref(column).unwrap() {
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
                    ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => Vec::new(),
                })
                .collect();
            if table == "documents" && cells[0] == b"partners" && is_for_the_books(&cells[3]) {
                continue;
            }
            for what in names.found_in(&cells.join(&b' ')) {
                let row = String::from_utf8_lossy(&cells.join(&b' ')).into_owned();
                found.push(format!("{what} in {table} of {}: {row}", file.display()));
            }
        }
    }
    found
}

/// A partner's record of which nothing stays but its OrgId, name and KeySets.
fn is_for_the_books(document: &[u8]) -> bool {
    let Ok(record) = serde_json::from_slice::<Value>(document) else {
        return false;
    };
    record["had_grant"] == true
        && record["nodes"] == Value::Array(Vec::new())
        && record["version"] == ""
}

/// How many processes of this machine have to do with a node's folder.
pub(super) fn processes(data: &Path) -> usize {
    saying(data.to_str().unwrap())
}

/// How many processes of this machine have some text in their command lines: a tool in a sandbox names no folder.
pub(super) fn saying(text: &str) -> usize {
    let text = text.as_bytes();
    let entries = std::fs::read_dir("/proc").unwrap();
    let lines = entries.filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok());
    lines
        .filter(|line| line.windows(text.len()).any(|part| part == text))
        .count()
}
