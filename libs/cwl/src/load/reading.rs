//! Taking single fields out of nodes, with a fault for each that is not what it should be.

use std::fmt;

use serde_json::Value;

use super::fields::FieldRule;
use super::loader::{Loader, Scope, short};
use crate::syntax::{Data, Map, Mark, Node};
use crate::{Dynamic, Text, Version, expression};

/// The way from the root of the document to a place, written only when there is a fault.
#[derive(Clone, Copy)]
pub(super) struct Trail<'t> {
    parent: Option<&'t Trail<'t>>,
    name: &'t str,
}

impl Trail<'_> {
    pub(super) const ROOT: Trail<'static> = Trail {
        parent: None,
        name: "",
    };

    pub(super) fn at<'t>(&'t self, name: &'t str) -> Trail<'t> {
        Trail {
            parent: Some(self),
            name,
        }
    }
}

impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(parent) = self.parent else {
            return f.write_str(self.name);
        };
        if parent.parent.is_some() {
            write!(f, "{parent}.")?;
        }
        f.write_str(self.name)
    }
}

/// One entry of a list that may also be written as a map from names.
pub(super) struct Named<'n> {
    /// The name, from the key of the map or from the subject field.
    pub(super) name: String,
    /// Where the name stands.
    pub(super) mark: Mark,
    pub(super) body: Body<'n>,
}

pub(super) enum Body<'n> {
    /// All fields.
    Full(&'n Node),
    /// Only the value of the field that a shorthand stands for.
    Short(&'n Node),
}

impl Loader<'_> {
    /// The map with the fields of `rules`; every other field without a namespace is a fault.
    pub(super) fn object<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        rules: &[&[FieldRule]],
        version: Version,
        trail: &Trail<'_>,
    ) -> Option<&'n Map> {
        let Some(map) = node.as_map() else {
            self.error(
                node.mark,
                trail,
                format!("{what} must be a map, not {}", node.describe()),
            );
            return None;
        };
        for (key, entry) in map {
            if is_extension(key) {
                continue;
            }
            let rule = rules
                .iter()
                .copied()
                .flatten()
                .find(|rule| rule.name == key);
            match rule {
                Some(rule) if rule.since > version && !entry.node.is_null() => self.error(
                    entry.key,
                    trail,
                    format!(
                        "`{key}` came with CWL {}, but the document says {version}",
                        rule.since
                    ),
                ),
                Some(_) => {}
                None => {
                    let names = rules.iter().copied().flatten().map(|rule| rule.name);
                    let hint = nearest(key, names)
                        .map(|near| format!(": did you mean `{near}`?"))
                        .unwrap_or_default();
                    self.error(
                        entry.key,
                        trail,
                        format!("{what} has no field `{key}`{hint}"),
                    );
                }
            }
        }
        Some(map)
    }

    /// The entries of a list or of a map from `subject`; `predicate` is what a value that is not a map
    /// stands for.
    pub(super) fn named<'n>(
        &mut self,
        node: &'n Node,
        subject: &str,
        predicate: Option<&str>,
        trail: &Trail<'_>,
    ) -> Vec<Named<'n>> {
        let mut entries: Vec<Named<'n>> = Vec::new();
        match &node.data {
            Data::List(items) => {
                for item in items {
                    let Some(name) = item.get(subject) else {
                        self.error(item.mark, trail, format!("this entry needs `{subject}`"));
                        continue;
                    };
                    let Some(text) = name.as_text() else {
                        self.error(name.mark, trail, format!("`{subject}` must be a string"));
                        continue;
                    };
                    entries.push(Named {
                        name: short(text).to_owned(),
                        mark: item.mark,
                        body: Body::Full(item),
                    });
                }
            }
            Data::Map(map) => {
                for (key, entry) in map {
                    let body = match (&entry.node.data, predicate) {
                        (Data::Map(_), _) | (_, None) => Body::Full(&entry.node),
                        (_, Some(_)) => Body::Short(&entry.node),
                    };
                    entries.push(Named {
                        name: short(key).to_owned(),
                        mark: entry.key,
                        body,
                    });
                }
            }
            _ => self.error(
                node.mark,
                trail,
                format!("expected a list or a map, not {}", node.describe()),
            ),
        }
        let mut seen = std::collections::HashSet::new();
        entries.retain(|entry| {
            let fresh = seen.insert(entry.name.clone());
            if !fresh {
                let message = format!("`{}` is declared twice", entry.name);
                self.error(entry.mark, &trail.at(&entry.name), message);
            }
            fresh
        });
        entries
    }

    pub(super) fn string(&mut self, node: &Node, key: &str, trail: &Trail<'_>) -> Option<String> {
        let field = node.get(key)?;
        match field.as_text() {
            Some(text) => Some(text.to_owned()),
            None => {
                self.wrong(field, key, "a string", trail);
                None
            }
        }
    }

    /// A string or a list of strings.
    pub(super) fn strings(&mut self, node: &Node, key: &str, trail: &Trail<'_>) -> Vec<String> {
        self.texts(node, key, trail)
            .into_iter()
            .map(|text| text.text)
            .collect()
    }

    /// A string or a list of strings, with places.
    pub(super) fn texts(&mut self, node: &Node, key: &str, trail: &Trail<'_>) -> Vec<Text> {
        let Some(field) = node.get(key) else {
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in field.each() {
            match item.as_text() {
                Some(text) => texts.push(Text {
                    text: text.to_owned(),
                    mark: item.mark,
                }),
                None => self.wrong(item, key, "a string", trail),
            }
        }
        texts
    }

    /// Documentation: one string or several lines.
    pub(super) fn doc(&mut self, node: &Node, trail: &Trail<'_>) -> Option<String> {
        let lines = self.strings(node, "doc", trail);
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    pub(super) fn boolean(
        &mut self,
        node: &Node,
        key: &str,
        default: bool,
        trail: &Trail<'_>,
    ) -> bool {
        match node.get(key) {
            None => default,
            Some(Node {
                data: Data::Bool(value),
                ..
            }) => *value,
            Some(other) => {
                self.wrong(other, key, "true or false", trail);
                default
            }
        }
    }

    /// A string that may hold expressions.
    pub(super) fn text(
        &mut self,
        node: &Node,
        key: &str,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Option<Text> {
        let field = node.get(key)?;
        match field.as_text() {
            Some(text) => Some(self.expression_text(text, field.mark, scope)),
            None => {
                self.wrong(field, key, "a string or an expression", trail);
                None
            }
        }
    }

    pub(super) fn expression_text(&mut self, text: &str, mark: Mark, scope: &Scope) -> Text {
        let text = if scope.version < Version::V1_2 {
            expression::upgrade_escapes(text)
        } else {
            text.to_owned()
        };
        Text { text, mark }
    }

    /// A number, or an expression for one. `since` is the first version that allows the expression.
    pub(super) fn dynamic(
        &mut self,
        node: &Node,
        key: &str,
        fits: impl Fn(&Value) -> bool,
        what: &str,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Option<Dynamic> {
        let field = node.get(key)?;
        if let Some(text) = field.as_text()
            && expression::is_dynamic(text)
        {
            let text = self.expression_text(text, field.mark, scope);
            return Some(Dynamic::Expression(text));
        }
        let value = field.to_value();
        if !fits(&value) {
            self.wrong(field, key, &format!("{what} or an expression"), trail);
            return None;
        }
        Some(Dynamic::Value(value))
    }

    pub(super) fn wrong(&mut self, node: &Node, key: &str, wanted: &str, trail: &Trail<'_>) {
        self.error(
            node.mark,
            &trail.at(key),
            format!("`{key}` must be {wanted}, not {}", node.describe()),
        );
    }

    /// One of the words of an enumeration of the standard.
    pub(super) fn word<T: Copy>(
        &mut self,
        node: &Node,
        key: &str,
        words: &[(&str, T)],
        trail: &Trail<'_>,
    ) -> Option<T> {
        let field = node.get(key)?;
        let found = field
            .as_text()
            .and_then(|text| words.iter().find(|(word, _)| *word == text));
        if let Some((_, value)) = found {
            return Some(*value);
        }
        let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        self.error(
            field.mark,
            &trail.at(key),
            format!("`{key}` must be one of {}", names.join(", ")),
        );
        None
    }
}

/// Fields with a namespace belong to someone else and are kept as they are.
pub(super) fn is_extension(key: &str) -> bool {
    key.contains(':')
}

/// The fields with a namespace.
pub(super) fn extensions(map: &Map) -> serde_json::Map<String, Value> {
    map.iter()
        .filter(|(key, _)| is_extension(key))
        .map(|(key, entry)| (key.clone(), entry.node.to_value()))
        .collect()
}

/// The candidate that a misspelt name is nearest to, within two changes.
pub(crate) fn nearest<'c>(
    name: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 2 && *distance < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}

/// Changes of one letter between two names (Levenshtein), letter case apart.
fn distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().flat_map(char::to_lowercase).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_its_neighbour() {
        let names = ["inputBinding", "default", "type"];
        assert_eq!(nearest("inputBindng", names), Some("inputBinding"));
        assert_eq!(nearest("Default", names), Some("default"));
        assert_eq!(nearest("somethingElse", names), None);
    }

    #[test]
    fn a_trail_reads_like_a_path() {
        let steps = Trail::ROOT.at("steps");
        let step = steps.at("convert");
        assert_eq!(step.at("in").to_string(), "steps.convert.in");
    }
}
