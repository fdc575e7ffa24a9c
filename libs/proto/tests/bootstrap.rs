//! Writes the checked-in bindings anew and fails when they were out of date, so that nobody needs `protoc`
//! and a change of `proto/` cannot be forgotten.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorSet};

#[test]
fn checked_in_bindings_match_the_proto_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let checked_in = root.join("src/gen");
    let before = read_all(&checked_in);

    let fresh = tempfile::tempdir().unwrap();
    generate(&root.join("../../proto"), fresh.path());
    let after = read_all(fresh.path());

    if before != after {
        fs::create_dir_all(&checked_in).unwrap();
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            fs::remove_file(checked_in.join(name)).unwrap();
        }
        for (name, content) in &after {
            fs::write(checked_in.join(name), content).unwrap();
        }
    }
    assert!(
        before == after,
        "the bindings were out of date: they are written anew, commit them"
    );
}

fn read_all(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return BTreeMap::new();
    };
    entries
        .map(|entry| {
            let entry = entry.unwrap();
            (
                entry.file_name().into_string().unwrap(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect()
}

fn proto_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            proto_files(&path, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            found.push(path);
        }
    }
    found.sort();
}

fn generate(include: &Path, out: &Path) {
    let include = include.canonicalize().unwrap();
    let mut files = Vec::new();
    proto_files(&include, &mut files);
    let descriptors = protox::compile(&files, [&include]).unwrap();
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec()).unwrap();

    let mut builder = tonic_prost_build::configure()
        .out_dir(out)
        .btree_map(".")
        .message_attribute(
            ".",
            "#[derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema)] #[serde(default)]",
        );
    for (path, attribute) in attributes(&descriptors) {
        builder = match attribute {
            Attribute::Field(text) => builder.field_attribute(path, text),
            Attribute::Oneof(text) => builder.enum_attribute(path, text),
        };
    }
    builder.compile_fds(descriptors).unwrap();
    flatten_choices(out);
}

/// prost hands an attribute of a oneof field down to each variant, where serde does not take `flatten`;
/// so it is put in front of the field afterwards.
fn flatten_choices(out: &Path) {
    for (name, content) in read_all(out) {
        if !name.ends_with(".rs") {
            continue;
        }
        let text = String::from_utf8(content).unwrap();
        let text = text.replace(
            "    #[prost(oneof",
            "    #[serde(flatten)]\n    #[prost(oneof",
        );
        fs::write(out.join(name), text).unwrap();
    }
}

enum Attribute {
    Field(String),
    Oneof(&'static str),
}

fn attributes(descriptors: &FileDescriptorSet) -> Vec<(String, Attribute)> {
    let mut found = Vec::new();
    for file in &descriptors.file {
        for message in &file.message_type {
            message_attributes(&format!(".{}", file.package()), message, &mut found);
        }
    }
    found
}

fn message_attributes(
    scope: &str,
    message: &DescriptorProto,
    found: &mut Vec<(String, Attribute)>,
) {
    let path = format!("{scope}.{}", message.name());
    for oneof in &message.oneof_decl {
        let oneof = format!("{path}.{}", oneof.name());
        found.push((
            oneof,
            Attribute::Oneof(
                "#[derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema)] #[serde(rename_all = \"snake_case\")]",
            ),
        ));
    }
    for field in &message.field {
        let field_path = format!("{path}.{}", field.name());
        let list = field.label() == Label::Repeated;
        let text = match (field.r#type(), list) {
            (Type::Bytes, false) => {
                "#[serde(with = \"crate::json::bytes\")] #[schema(value_type = String, format = Byte)]".to_owned()
            }
            (Type::Bytes, true) => {
                "#[serde(with = \"crate::json::byte_list\")] #[schema(value_type = Vec<String>)]".to_owned()
            }
            (Type::Enum, false) => format!(
                "#[serde(with = \"crate::json::AsWord::<{}>\")] #[schema(value_type = String)]",
                rust_path(field.type_name())
            ),
            (Type::Enum, true) => format!(
                "#[serde(with = \"crate::json::AsWords::<{}>\")] #[schema(value_type = Vec<String>)]",
                rust_path(field.type_name())
            ),
            _ => continue,
        };
        found.push((field_path, Attribute::Field(text)));
    }
}

/// `.oc.federation.v1.GrantState` becomes `crate::federation::v1::GrantState`.
fn rust_path(proto: &str) -> String {
    proto.replacen(".oc.", "crate::", 1).replace('.', "::")
}
