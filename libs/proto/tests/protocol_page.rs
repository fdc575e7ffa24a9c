//! Holds docs/protocol.md to the messages that pass between organisations: whoever writes another node reads that
//! page, so a field that it does not name does not exist for them.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet};

const PAGE: &str = include_str!("../../../docs/protocol.md");
const SHARED: &str = ".oc.types.v1.";

/// The sections that describe a file of `oc.federation.v1`, by their numbers.
fn sections_of(file: &str) -> &'static [&'static str] {
    match file.rsplit('/').next().unwrap() {
        "identity.proto" => &["4"],
        "catalogue.proto" => &["7"],
        "data.proto" => &["10"],
        "compute.proto" => &["8", "11"],
        "objects.proto" => &["12"],
        "books.proto" => &["14"],
        other => panic!("{other} has no section in docs/protocol.md"),
    }
}

/// The words that stand as code in a text.
fn code_words(text: &str) -> BTreeSet<&str> {
    let code = text.split('`').skip(1).step_by(2);
    code.flat_map(|code| code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
        .collect()
}

/// The words that stand as code in each numbered section.
fn words_by_section() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let sections = PAGE.split("\n## ").skip(1);
    let numbered = sections.filter_map(|section| Some((section.split_once(' ')?.0, section)));
    numbered
        .map(|(number, section)| (number, code_words(section)))
        .collect()
}

fn unnamed<'a>(message: &'a DescriptorProto, words: &BTreeSet<&str>) -> Vec<&'a str> {
    let fields = message.field.iter().map(|field| field.name());
    fields.filter(|name| !words.contains(name)).collect()
}

#[test]
fn the_page_names_each_method_and_each_field_where_it_describes_them() {
    let descriptors = FileDescriptorSet::decode(oc_proto::DESCRIPTORS).unwrap();
    let by_section = words_by_section();
    let mut missing = Vec::new();
    let mut shared = BTreeSet::new();
    for file in &descriptors.file {
        if file.package() != "oc.federation.v1" {
            continue;
        }
        let sections = sections_of(file.name());
        let words: BTreeSet<&str> = sections
            .iter()
            .flat_map(|section| by_section[section].iter().copied())
            .collect();
        for method in file.service.iter().flat_map(|service| &service.method) {
            if !words.contains(method.name()) {
                missing.push(format!("sections {sections:?}: {}", method.name()));
            }
        }
        for message in &file.message_type {
            for field in unnamed(message, &words) {
                missing.push(format!("sections {sections:?}: {}.{field}", message.name()));
            }
            let types = message.field.iter().map(|field| field.type_name());
            shared.extend(types.filter_map(|name| name.strip_prefix(SHARED)));
        }
    }
    assert!(!shared.is_empty(), "the messages share types");

    let anywhere = code_words(PAGE);
    let types = descriptors.file.iter();
    let types = types.filter(|file| file.package() == "oc.types.v1");
    let types: BTreeMap<&str, &DescriptorProto> = types
        .flat_map(|file| &file.message_type)
        .map(|message| (message.name(), message))
        .collect();
    let mut waiting: Vec<&str> = shared.iter().copied().collect();
    while let Some(name) = waiting.pop() {
        let message = types[name];
        for field in unnamed(message, &anywhere) {
            missing.push(format!("anywhere: {name}.{field}"));
        }
        let inner = message.field.iter();
        let inner = inner.filter_map(|field| field.type_name().strip_prefix(SHARED));
        waiting.extend(inner.filter(|name| shared.insert(name)));
    }
    assert!(
        missing.is_empty(),
        "docs/protocol.md does not name, as code:\n{}",
        missing.join("\n")
    );
}
