//! File formats: whether one is another by the ontologies that a document names in `$schemas`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What is known about formats: which are kinds of which.
#[derive(Debug, Default)]
pub(super) struct Ontology {
    /// `rdfs:subClassOf` and, both ways, `owl:equivalentClass`.
    above: HashMap<String, BTreeSet<String>>,
}

const SUBCLASS: &str = "http://www.w3.org/2000/01/rdf-schema#subClassOf";
const EQUIVALENT: &str = "http://www.w3.org/2002/07/owl#equivalentClass";

impl Ontology {
    /// Adds what a text in RDF/XML or Turtle says about classes; anything else in it is skipped.
    pub(super) fn read(&mut self, text: &str) {
        if text.trim_start().starts_with('<') && !text.trim_start().starts_with("<http") {
            self.read_xml(text);
        } else {
            self.read_turtle(text);
        }
    }

    /// True where a file of format `actual` is also one of format `wanted`.
    pub(super) fn is_kind_of(&self, actual: &str, wanted: &str) -> bool {
        let mut seen = BTreeSet::from([actual]);
        let mut open = vec![actual];
        while let Some(format) = open.pop() {
            if format == wanted {
                return true;
            }
            for above in self.above.get(format).into_iter().flatten() {
                if seen.insert(above) {
                    open.push(above);
                }
            }
        }
        false
    }

    fn add(&mut self, subject: &str, predicate: &str, object: &str) {
        let mut above = |from: &str, to: &str| {
            let set = self.above.entry(from.to_owned()).or_default();
            set.insert(to.to_owned());
        };
        match predicate {
            SUBCLASS => above(subject, object),
            EQUIVALENT => {
                above(subject, object);
                above(object, subject);
            }
            _ => {}
        }
    }

    /// Reads `<owl:Class rdf:about="A"> <rdfs:subClassOf rdf:resource="B"/>`, which is how ontologies
    /// are published.
    fn read_xml(&mut self, text: &str) {
        let mut subjects: Vec<Option<&str>> = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find('<') {
            rest = &rest[start..];
            if let Some(comment) = rest.strip_prefix("<!--") {
                rest = comment.split_once("-->").map_or("", |(_, after)| after);
                continue;
            }
            let Some(end) = rest.find('>') else {
                return;
            };
            let tag = &rest[1..end];
            rest = &rest[end + 1..];
            if tag.starts_with(['?', '!']) {
                continue;
            }
            if tag.starts_with('/') {
                subjects.pop();
                continue;
            }
            let name = tag
                .split([' ', '\t', '\n', '\r', '/'])
                .next()
                .unwrap_or_default();
            let predicate = match name.rsplit(':').next() {
                Some("subClassOf") => SUBCLASS,
                Some("equivalentClass") => EQUIVALENT,
                _ => "",
            };
            let subject = subjects.iter().rev().find_map(|subject| *subject);
            if let (Some(subject), Some(object)) = (subject, attribute(tag, "rdf:resource")) {
                self.add(subject, predicate, object);
            }
            if !tag.ends_with('/') {
                subjects.push(attribute(tag, "rdf:about"));
            }
        }
    }

    /// Reads triples of names; blank nodes and literals are passed over.
    fn read_turtle(&mut self, text: &str) {
        let mut prefixes = BTreeMap::new();
        let mut statement: Vec<String> = Vec::new();
        let mut subject = String::new();
        let mut predicate = String::new();
        for token in turtle_tokens(text) {
            match token.as_str() {
                "." | ";" | "," => {
                    self.end_part(&statement, &mut subject, &mut predicate, &mut prefixes);
                    statement.clear();
                    match token.as_str() {
                        "." => (subject, predicate) = Default::default(),
                        ";" => predicate.clear(),
                        _ => {}
                    }
                }
                _ => statement.push(token),
            }
        }
    }

    fn end_part(
        &mut self,
        statement: &[String],
        subject: &mut String,
        predicate: &mut String,
        prefixes: &mut BTreeMap<String, String>,
    ) {
        let name =
            |token: &String, prefixes: &BTreeMap<String, String>| turtle_name(token, prefixes);
        let object = match statement {
            [directive, prefix, iri] if directive.eq_ignore_ascii_case("@prefix") => {
                let iri = iri.trim_matches(['<', '>']);
                prefixes.insert(prefix.trim_end_matches(':').to_owned(), iri.to_owned());
                return;
            }
            [first, second, third] => {
                *subject = name(first, prefixes);
                *predicate = name(second, prefixes);
                third
            }
            [second, third] if !subject.is_empty() => {
                *predicate = name(second, prefixes);
                third
            }
            [third] if !predicate.is_empty() => third,
            _ => return,
        };
        let object = name(object, prefixes);
        self.add(subject, predicate, &object);
    }
}

fn attribute<'t>(tag: &'t str, name: &str) -> Option<&'t str> {
    let value = tag.split_once(name)?.1.trim_start().strip_prefix('=')?;
    let value = value.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let value = &value[1..];
    Some(&value[..value.find(quote)?])
}

fn turtle_name(token: &str, prefixes: &BTreeMap<String, String>) -> String {
    if token == "a" {
        return "http://www.w3.org/1999/02/22-rdf-syntax-ns#type".to_owned();
    }
    if let Some(iri) = token.strip_prefix('<') {
        return iri.trim_end_matches('>').to_owned();
    }
    match token.split_once(':') {
        Some((prefix, rest)) => match prefixes.get(prefix) {
            Some(iri) => format!("{iri}{rest}"),
            None => token.to_owned(),
        },
        None => token.to_owned(),
    }
}

fn turtle_tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '#' => {
                rest = rest
                    .split_once('\n')
                    .map_or("", |(_, after)| after)
                    .trim_start();
                continue;
            }
            '<' => rest.find('>').map_or(rest.len(), |end| end + 1),
            '"' | '\'' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
            ';' | ',' | '[' | ']' | '(' | ')' => 1,
            _ => {
                let end = rest
                    .find(|c: char| {
                        c.is_whitespace() || matches!(c, ';' | ',' | '[' | ']' | '(' | ')')
                    })
                    .unwrap_or(rest.len());
                // A dot at the end of a word ends the statement.
                if end > 1 && rest[..end].ends_with('.') {
                    end - 1
                } else {
                    end
                }
            }
        };
        tokens.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_read_from_xml_and_followed_upwards() {
        let mut ontology = Ontology::default();
        ontology.read(
            r#"<?xml version="1.0"?><!DOCTYPE rdf:RDF [ <!ENTITY x "y" > ]>
            <rdf:RDF><!-- <owl:Class rdf:about="no"> -->
            <owl:Class rdf:about="http://e/1"><label>One</label>
              <rdfs:subClassOf rdf:resource="http://e/2"/></owl:Class>
            <owl:Class rdf:about="http://e/2"><rdfs:subClassOf rdf:resource="http://e/3"/></owl:Class>
            </rdf:RDF>"#,
        );
        assert!(ontology.is_kind_of("http://e/1", "http://e/3"));
        assert!(!ontology.is_kind_of("http://e/3", "http://e/1"));
        assert!(ontology.is_kind_of("http://e/9", "http://e/9"));
    }

    #[test]
    fn equivalents_in_turtle_hold_both_ways() {
        let mut ontology = Ontology::default();
        ontology.read(
            "@prefix g: <http://g/> .\n@prefix owl: <http://www.w3.org/2002/07/owl#> .\n\
             # a comment\ng:fasta a owl:Class ; owl:equivalentClass <http://e/1>, g:fa .",
        );
        assert!(ontology.is_kind_of("http://g/fasta", "http://e/1"));
        assert!(ontology.is_kind_of("http://e/1", "http://g/fa"));
    }
}
