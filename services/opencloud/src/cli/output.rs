//! Answers: tables for people, JSON for programs. What others wrote passes through [`safe`] on its way to a
//! terminal.

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, ContentArrangement, Table};
use serde::Serialize;

use super::Outcome;
use super::typed::with_options;

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

    /// A list: a table for people without columns in which nothing stands, or a sentence when it is empty.
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
            anstream::println!("{}", with_options(empty));
            return Ok(());
        }
        let mut table = Table::new();
        table
            .load_preset(NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic);
        let rows: Vec<_> = items.iter().map(row).collect();
        let filled: Vec<_> = (0..N)
            .filter(|column| rows.iter().any(|row| !row[*column].is_empty()))
            .collect();
        let heads = filled.iter().map(|column| heads[*column]);
        table.set_header(heads.map(|head| Cell::new(head).add_attribute(Attribute::Bold)));
        for row in &rows {
            table.add_row(filled.iter().map(|column| safe(&row[*column])));
        }
        anstream::println!("{table}");
        Ok(())
    }

    /// A sentence for people; an empty object for programs, which have the exit code.
    pub(crate) fn say(self, text: &str) {
        if self.json {
            anstream::println!("{{}}");
        } else {
            anstream::println!("{}", safe(&with_options(text)));
        }
    }

    /// True when programs read the answer.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }
}

/// A number of things: `1 file`, `2 files`.
pub(crate) fn counted(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        number => format!("{number} {thing}s"),
    }
}

/// What to do next, beside an answer.
pub(crate) fn hint(text: &str) {
    anstream::eprintln!("{}", safe(&with_options(text)));
}

/// `text` on one line that a terminal shows as it is: what would colour, turn or break it is replaced. Names,
/// titles, messages and causes may come from partners, log lines from their tools.
pub(crate) fn safe(text: &str) -> String {
    oc_kernel::visible(&text.replace('\t', "    ")).into_owned()
}

/// A text of several lines that this node composed.
pub(crate) fn safe_lines(text: &str) -> String {
    text.lines().map(safe).collect::<Vec<_>>().join("\n")
}

/// What stands beside a name: one line, or several that are ours to break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field(Vec<String>);

impl From<String> for Field {
    fn from(text: String) -> Self {
        Self(vec![text])
    }
}

impl From<&str> for Field {
    fn from(text: &str) -> Self {
        Self(vec![text.to_owned()])
    }
}

impl From<Vec<String>> for Field {
    fn from(lines: Vec<String>) -> Self {
        Self(lines)
    }
}

impl Field {
    fn is_empty(&self) -> bool {
        self.0.iter().all(String::is_empty)
    }
}

/// Rows of `name: value`, empty values left out.
pub(crate) fn fields<F: Into<Field> + Clone>(rows: &[(&str, F)]) {
    let dim = anstyle::Style::new().dimmed();
    for (head, line) in lines(rows) {
        anstream::println!("{dim}{head}{dim:#}  {line}");
    }
}

/// The lines of rows: the name, padded and only before the first of its lines, and what stands beside it.
fn lines<F: Into<Field> + Clone>(rows: &[(&str, F)]) -> Vec<(String, String)> {
    let rows: Vec<(&str, Field)> = rows
        .iter()
        .map(|(name, value)| (*name, value.clone().into()))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let names = rows.iter().map(|(name, _)| name.chars().count());
    let width = names.max().unwrap_or(0);
    let mut lines = Vec::new();
    for (name, Field(values)) in &rows {
        for (at, value) in values.iter().enumerate() {
            let head = if at == 0 { *name } else { "" };
            lines.push((format!("{head:width$}"), safe(value)));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_told_from_several() {
        let told = [0, 1, 2].map(|number| counted(number, "grant"));
        assert_eq!(told, ["0 grants", "1 grant", "2 grants"]);
    }

    #[test]
    fn a_text_of_a_partner_makes_no_line_of_its_own() {
        let rows = [
            ("state", Field::from("pending")),
            (
                "message",
                "please\n\nstate  active\u{202e}".to_owned().into(),
            ),
            ("listings", vec!["a".to_owned(), "b".to_owned()].into()),
            ("cause", "".into()),
        ];
        let shown: Vec<_> = lines(&rows)
            .into_iter()
            .map(|(head, line)| format!("{head} {line}"))
            .collect();
        assert_eq!(
            shown,
            [
                "state    pending",
                "message  please\u{fffd}\u{fffd}state  active\u{fffd}",
                "listings a",
                "         b",
            ]
        );
    }
}
