//! Answers: tables for people, JSON for programs.

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, ContentArrangement, Table};
use serde::Serialize;

use super::Outcome;

/// How a command answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Shows `value` as JSON, or calls `people` for the form people read.
    pub(crate) fn show<T: Serialize>(self, value: &T, people: impl FnOnce(&T)) -> Outcome {
        if self.json {
            let text = serde_json::to_string_pretty(value).map_err(anyhow::Error::from)?;
            anstream::println!("{text}");
        } else {
            people(value);
        }
        Ok(())
    }

    /// A list: a table for people, or a sentence when it is empty.
    pub(crate) fn list<T: Serialize, const N: usize>(
        self,
        items: &[T],
        empty: &str,
        heads: [&str; N],
        row: impl Fn(&T) -> [String; N],
    ) -> Outcome {
        if self.json {
            return self.show(&items, |_| ());
        }
        if items.is_empty() {
            anstream::println!("{empty}");
            return Ok(());
        }
        let mut table = Table::new();
        table
            .load_preset(NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(heads.map(|head| Cell::new(head).add_attribute(Attribute::Bold)));
        for item in items {
            table.add_row(row(item));
        }
        anstream::println!("{table}");
        Ok(())
    }

    /// A sentence for people; nothing for programs, which have the exit code.
    pub(crate) fn say(self, text: &str) {
        if !self.json {
            anstream::println!("{text}");
        }
    }

    /// True when programs read the answer.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }
}

/// Rows of `name: value`, empty values left out.
pub(crate) fn fields(rows: &[(&str, String)]) {
    let rows: Vec<_> = rows.iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = rows
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    for (name, value) in rows {
        let dim = anstyle::Style::new().dimmed();
        let mut lines = value.lines();
        anstream::println!(
            "{dim}{name:width$}{dim:#}  {}",
            lines.next().unwrap_or_default()
        );
        for line in lines {
            anstream::println!("{:width$}  {line}", "");
        }
    }
}
