//! Requirements in canonical form.

use serde_json::{Map, Value, json};

use super::parameters::dynamic;
use super::{Fields, texts};
use crate::{Docker, Listing, ListingItem, Requirement, RequirementKind, Resources};

/// None for a SchemaDefRequirement: its types stand where they are used.
pub(super) fn requirement(requirement: &Requirement) -> Option<Value> {
    let mut fields = Fields::default();
    fields.put("class", requirement.kind.class());
    match &requirement.kind {
        RequirementKind::SchemaDef(_) => return None,
        RequirementKind::InlineJavascript(library) => {
            fields.list("expressionLib", texts(library));
        }
        RequirementKind::LoadListing(listing) => {
            fields.maybe("loadListing", listing.map(crate::LoadListing::as_str));
        }
        RequirementKind::Docker(docker) => container(&mut fields, docker),
        RequirementKind::Software(packages) => {
            let packages: Vec<_> = packages
                .iter()
                .map(|package| {
                    json!({
                        "package": package.package,
                        "version": package.version,
                        "specs": package.specs,
                    })
                })
                .collect();
            fields.put("packages", packages);
        }
        RequirementKind::InitialWorkDir(found) => {
            fields.put("listing", listing(found));
        }
        RequirementKind::EnvVar(variables) => {
            let variables: Vec<_> = variables
                .iter()
                .map(|one| json!({"envName": one.name, "envValue": one.value.text}))
                .collect();
            fields.put("envDef", variables);
        }
        RequirementKind::Resource(bounds) => resources(&mut fields, bounds),
        RequirementKind::WorkReuse(value) => {
            fields.put("enableReuse", dynamic(value));
        }
        RequirementKind::NetworkAccess(value) => {
            fields.put("networkAccess", dynamic(value));
        }
        RequirementKind::InplaceUpdate(value) => {
            fields.put("inplaceUpdate", *value);
        }
        RequirementKind::ToolTimeLimit(value) => {
            fields.put("timelimit", dynamic(value));
        }
        RequirementKind::Unknown { class, body } => return Some(unknown(class, body)),
        RequirementKind::ShellCommand
        | RequirementKind::SubworkflowFeature
        | RequirementKind::ScatterFeature
        | RequirementKind::MultipleInputFeature
        | RequirementKind::StepInputExpression => {}
    }
    Some(Value::Object(fields.0))
}

fn unknown(class: &str, body: &Value) -> Value {
    let mut map = Map::new();
    map.insert("class".to_owned(), class.into());
    if let Value::Object(fields) = body {
        let mut fields: Vec<_> = fields.iter().filter(|(key, _)| *key != "class").collect();
        fields.sort_by_key(|(key, _)| *key);
        map.extend(
            fields
                .into_iter()
                .map(|(key, value)| (key.clone(), value.clone())),
        );
    }
    Value::Object(map)
}

fn container(fields: &mut Fields, docker: &Docker) {
    fields
        .maybe("dockerPull", docker.pull.as_deref())
        .maybe("dockerLoad", docker.load.as_deref())
        .maybe("dockerFile", docker.file.as_deref())
        .maybe("dockerImport", docker.import.as_deref())
        .maybe("dockerImageId", docker.image_id.as_deref())
        .maybe("dockerOutputDirectory", docker.output_directory.as_deref());
}

fn listing(listing: &Listing) -> Value {
    match listing {
        Listing::Expression(text) => text.text.as_str().into(),
        Listing::Items(items) => items.iter().map(listing_item).collect::<Vec<_>>().into(),
    }
}

fn listing_item(item: &ListingItem) -> Value {
    match item {
        ListingItem::Expression(text) => text.text.as_str().into(),
        ListingItem::Object(value) => value.clone(),
        ListingItem::Entry {
            name,
            entry,
            writable,
        } => {
            let mut fields = Fields::default();
            fields
                .text("entryname", name.as_ref())
                .put("entry", entry.text.as_str())
                .flag("writable", *writable);
            Value::Object(fields.0)
        }
    }
}

fn resources(fields: &mut Fields, bounds: &Resources) {
    for (key, value) in [
        ("coresMin", &bounds.cores_min),
        ("coresMax", &bounds.cores_max),
        ("ramMin", &bounds.ram_min),
        ("ramMax", &bounds.ram_max),
        ("tmpdirMin", &bounds.tmpdir_min),
        ("tmpdirMax", &bounds.tmpdir_max),
        ("outdirMin", &bounds.outdir_min),
        ("outdirMax", &bounds.outdir_max),
    ] {
        fields.maybe(key, value.as_ref().map(dynamic));
    }
}
