//! Types, parameters and bindings in canonical form.

use serde_json::{Map, Value, json};

use super::{Fields, texts};
use crate::{
    Binding, Dynamic, Field, Input, Links, LoadListing, Output, OutputBinding, Required,
    SecondaryFile, Type,
};

pub(super) fn type_(type_: &Type) -> Value {
    match type_ {
        Type::Array(array) => {
            let mut fields = Fields::default();
            fields
                .put("type", "array")
                .put("items", self::type_(&array.items))
                .maybe("inputBinding", array.binding.as_ref().map(binding));
            Value::Object(fields.0)
        }
        Type::Record(record) => {
            let mut fields = Fields::default();
            fields
                .put("type", "record")
                .maybe("name", record.name.as_deref())
                .put(
                    "fields",
                    record.fields.iter().map(field).collect::<Vec<_>>(),
                )
                .maybe("inputBinding", record.binding.as_ref().map(binding));
            Value::Object(fields.0)
        }
        Type::Enum(values) => {
            let mut fields = Fields::default();
            fields
                .put("type", "enum")
                .maybe("name", values.name.as_deref())
                .put("symbols", values.symbols.as_slice())
                .maybe("inputBinding", values.binding.as_ref().map(binding));
            Value::Object(fields.0)
        }
        Type::Union(members) => Value::Array(members.iter().map(self::type_).collect()),
        name => Value::String(name.to_string()),
    }
}

fn field(field: &Field) -> Value {
    let mut fields = Fields::default();
    fields
        .put("name", field.name.as_str())
        .put("type", type_(&field.type_))
        .maybe("label", field.label.as_deref())
        .maybe("doc", field.doc.as_deref())
        .list("secondaryFiles", secondary_files(&field.secondary_files))
        .flag("streamable", field.streamable)
        .list("format", texts(&field.format))
        .flag("loadContents", field.load_contents)
        .maybe("loadListing", field.load_listing.map(LoadListing::as_str))
        .maybe("inputBinding", field.binding.as_ref().map(binding))
        .maybe(
            "outputBinding",
            field.output_binding.as_ref().map(output_binding),
        );
    Value::Object(fields.0)
}

pub(super) fn input(input: &Input) -> Value {
    let mut fields = Fields::default();
    fields
        .put("id", input.id.as_str())
        .put("type", type_(&input.type_))
        .maybe("label", input.label.as_deref())
        .maybe("doc", input.doc.as_deref())
        .list("secondaryFiles", secondary_files(&input.secondary_files))
        .flag("streamable", input.streamable)
        .list("format", texts(&input.format))
        .flag("loadContents", input.load_contents)
        .maybe("loadListing", input.load_listing.map(LoadListing::as_str))
        .maybe("default", input.default.clone())
        .maybe("inputBinding", input.binding.as_ref().map(binding));
    fields.0.extend(sorted(&input.extensions));
    Value::Object(fields.0)
}

pub(super) fn output(output: &Output) -> Value {
    let mut fields = Fields::default();
    fields
        .put("id", output.id.as_str())
        .put("type", type_(&output.type_))
        .maybe("label", output.label.as_deref())
        .maybe("doc", output.doc.as_deref())
        .list("secondaryFiles", secondary_files(&output.secondary_files))
        .flag("streamable", output.streamable)
        .text("format", output.format.as_ref())
        .maybe("outputBinding", output.binding.as_ref().map(output_binding));
    links(&mut fields, "outputSource", &output.links);
    fields.0.extend(sorted(&output.extensions));
    Value::Object(fields.0)
}

pub(super) fn links(fields: &mut Fields, key: &str, links: &Links) {
    let mut sources: Vec<Value> = links
        .sources
        .iter()
        .map(|source| source.reference.to_string().into())
        .collect();
    match (links.is_list, sources.len()) {
        (false, 1) => {
            fields.maybe(key, sources.pop());
        }
        (false, 0) => {}
        _ => {
            fields.put(key, sources);
        }
    }
    fields
        .maybe("linkMerge", links.merge.map(crate::LinkMerge::as_str))
        .maybe("pickValue", links.pick.map(crate::PickValue::as_str));
}

fn secondary_files(files: &[SecondaryFile]) -> Vec<Value> {
    files
        .iter()
        .map(|file| {
            let required = match &file.required {
                Required::Default => None,
                Required::Fixed(value) => Some(Value::Bool(*value)),
                Required::Expression(text) => Some(text.text.as_str().into()),
            };
            match required {
                None => json!({"pattern": file.pattern.text}),
                Some(required) => json!({"pattern": file.pattern.text, "required": required}),
            }
        })
        .collect()
}

pub(super) fn dynamic(value: &Dynamic) -> Value {
    match value {
        Dynamic::Value(value) => value.clone(),
        Dynamic::Expression(text) => text.text.as_str().into(),
    }
}

pub(super) fn binding(binding: &Binding) -> Value {
    let mut fields = Fields::default();
    fields
        .maybe("position", binding.position.as_ref().map(dynamic))
        .maybe("prefix", binding.prefix.as_deref())
        .maybe("separate", (!binding.separate).then_some(false))
        .maybe("itemSeparator", binding.item_separator.as_deref())
        .text("valueFrom", binding.value_from.as_ref())
        .maybe("shellQuote", (!binding.shell_quote).then_some(false))
        .flag("loadContents", binding.load_contents);
    Value::Object(fields.0)
}

fn output_binding(binding: &OutputBinding) -> Value {
    let mut fields = Fields::default();
    fields
        .list("glob", texts(&binding.glob))
        .flag("loadContents", binding.load_contents)
        .maybe("loadListing", binding.load_listing.map(LoadListing::as_str))
        .text("outputEval", binding.output_eval.as_ref());
    Value::Object(fields.0)
}

/// Extensions in the order of their names, so that the digest does not depend on the author's order.
pub(super) fn sorted(extensions: &Map<String, Value>) -> Vec<(String, Value)> {
    let mut fields: Vec<_> = extensions
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields
}
