//! Requirements and hints.

use super::fields::{CLASS, ClassRule, ENV_DEF, PACKAGE, REQUIREMENTS};
use super::loader::{Loader, Scope, short};
use super::reading::{Body, Trail, nearest};
use super::typing::TypeScope;
use crate::syntax::{Data, Mark, Node};
use crate::{
    Docker, Dynamic, EnvVar, Requirement, RequirementKind, Resources, SoftwarePackage, Type,
    Version,
};

/// The entries of `requirements` or `hints` with their class.
fn entries(node: &Node) -> Vec<(Option<&str>, Mark, &Node)> {
    match &node.data {
        Data::Map(map) => map
            .iter()
            .map(|(class, entry)| (Some(class.as_str()), entry.key, &entry.node))
            .collect(),
        _ => node
            .each()
            .iter()
            .map(|item| (item.get("class").and_then(Node::as_text), item.mark, item))
            .collect(),
    }
}

impl Loader<'_> {
    /// Announces the types of a SchemaDefRequirement, which must be known before anything is read.
    pub(super) fn announce_types(&mut self, node: &Node, types: &TypeScope) {
        for field in ["requirements", "hints"] {
            let Some(requirements) = node.get(field) else {
                continue;
            };
            for (class, _, body) in entries(requirements) {
                if class != Some("SchemaDefRequirement") {
                    continue;
                }
                for schema in body.get("types").map(Node::each).unwrap_or_default() {
                    if let Some(name) = schema.get("name").and_then(Node::as_text) {
                        types.announce(name, schema);
                    }
                }
            }
        }
    }

    pub(super) fn requirements(
        &mut self,
        node: &Node,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Vec<Requirement> {
        self.requirement_list(node, "requirements", scope, trail)
    }

    pub(super) fn hints(
        &mut self,
        node: &Node,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Vec<Requirement> {
        self.requirement_list(node, "hints", scope, trail)
    }

    fn requirement_list(
        &mut self,
        node: &Node,
        key: &str,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Vec<Requirement> {
        let Some(list) = node.get(key) else {
            return Vec::new();
        };
        let trail = trail.at(key);
        if !matches!(list.data, Data::List(_) | Data::Map(_)) {
            let message = format!("`{key}` must be a list or a map, not {}", list.describe());
            self.error(list.mark, &trail, message);
            return Vec::new();
        }
        let mut read = Vec::new();
        for (class, mark, body) in entries(list) {
            let Some(class) = class else {
                self.error(mark, &trail, "a requirement needs `class`");
                continue;
            };
            let trail = trail.at(class);
            if let Some(kind) = self.requirement(class, mark, body, key == "hints", scope, &trail) {
                read.push(Requirement { kind, mark });
            }
        }
        read
    }

    fn requirement(
        &mut self,
        class: &str,
        mark: Mark,
        body: &Node,
        is_hint: bool,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Option<RequirementKind> {
        let rule = REQUIREMENTS
            .iter()
            .find(|rule| rule.name == class || (class.contains('#') && rule.name == short(class)));
        let Some(rule) = rule else {
            if is_hint {
                return Some(RequirementKind::Unknown {
                    class: class.to_owned(),
                    body: body.to_value(),
                });
            }
            let hint = nearest(class, REQUIREMENTS.iter().map(|rule| rule.name))
                .map_or_else(String::new, |near| format!(": did you mean `{near}`?"));
            self.error(
                mark,
                trail,
                format!("requirement `{class}` is not supported{hint}"),
            );
            return None;
        };
        if rule.since > scope.version && !is_hint {
            let (since, version) = (rule.since, scope.version);
            let message =
                format!("`{class}` came with CWL {since}, but the document says {version}");
            self.error(mark, trail, message);
        }
        let empty = Node::new(Data::Map(crate::syntax::Map::new()), mark);
        let body = if body.is_null() { &empty } else { body };
        self.object(body, class, &[CLASS, rule.fields], scope.version, trail)?;
        self.requirement_body(rule, body, scope, trail)
    }

    fn requirement_body(
        &mut self,
        rule: &ClassRule,
        body: &Node,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Option<RequirementKind> {
        Some(match rule.name {
            "InlineJavascriptRequirement" => {
                RequirementKind::InlineJavascript(self.texts(body, "expressionLib", trail))
            }
            "SchemaDefRequirement" => {
                RequirementKind::SchemaDef(self.schema_definitions(body, scope, trail))
            }
            "LoadListingRequirement" => {
                RequirementKind::LoadListing(self.load_listing(body, trail))
            }
            "DockerRequirement" => RequirementKind::Docker(Docker {
                pull: self.string(body, "dockerPull", trail),
                load: self.string(body, "dockerLoad", trail),
                file: body
                    .get("dockerFile")
                    .and_then(Node::as_text)
                    .map(str::to_owned),
                import: self.string(body, "dockerImport", trail),
                image_id: self.string(body, "dockerImageId", trail),
                output_directory: self.string(body, "dockerOutputDirectory", trail),
            }),
            "SoftwareRequirement" => RequirementKind::Software(self.packages(body, scope, trail)),
            "InitialWorkDirRequirement" => {
                RequirementKind::InitialWorkDir(self.listing(body, scope, trail)?)
            }
            "EnvVarRequirement" => RequirementKind::EnvVar(self.variables(body, scope, trail)),
            "ShellCommandRequirement" => RequirementKind::ShellCommand,
            "ResourceRequirement" => RequirementKind::Resource(self.resources(body, scope, trail)),
            "WorkReuse" => {
                RequirementKind::WorkReuse(self.switch(body, "enableReuse", scope, trail)?)
            }
            "NetworkAccess" => {
                RequirementKind::NetworkAccess(self.switch(body, "networkAccess", scope, trail)?)
            }
            "InplaceUpdateRequirement" => {
                RequirementKind::InplaceUpdate(self.boolean(body, "inplaceUpdate", false, trail))
            }
            "ToolTimeLimit" => RequirementKind::ToolTimeLimit(self.time_limit(body, scope, trail)?),
            "SubworkflowFeatureRequirement" => RequirementKind::SubworkflowFeature,
            "ScatterFeatureRequirement" => RequirementKind::ScatterFeature,
            "MultipleInputFeatureRequirement" => RequirementKind::MultipleInputFeature,
            _ => RequirementKind::StepInputExpression,
        })
    }

    fn schema_definitions(
        &mut self,
        body: &Node,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Vec<(String, Type)> {
        let Some(types) = body.get("types") else {
            self.error(body.mark, trail, "`types` is missing");
            return Vec::new();
        };
        let trail = trail.at("types");
        let mut read = Vec::new();
        for schema in types.each() {
            let Some(name) = schema.get("name").and_then(Node::as_text) else {
                self.error(schema.mark, &trail, "a schema here needs `name`");
                continue;
            };
            let named = Node::new(Data::Text(name.to_owned()), schema.mark);
            if let Some(type_) = self.type_of(&named, scope, &trail.at(name)) {
                read.push((short(name).to_owned(), type_));
            }
        }
        read
    }

    fn switch(
        &mut self,
        body: &Node,
        key: &str,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Option<Dynamic> {
        if body.get(key).is_none() {
            self.error(body.mark, trail, format!("`{key}` is missing"));
            return None;
        }
        self.dynamic(
            body,
            key,
            serde_json::Value::is_boolean,
            "true, false",
            scope,
            trail,
        )
    }

    fn time_limit(&mut self, body: &Node, scope: &Scope, trail: &Trail<'_>) -> Option<Dynamic> {
        let Some(node) = body.get("timelimit") else {
            self.error(body.mark, trail, "`timelimit` is missing");
            return None;
        };
        let limit = self.dynamic(
            body,
            "timelimit",
            |value| value.is_i64() || value.is_u64(),
            "a number of seconds",
            scope,
            trail,
        )?;
        if let Dynamic::Value(value) = &limit
            && value.as_i64().is_some_and(|seconds| seconds < 0)
        {
            self.error(node.mark, trail, "`timelimit` cannot be negative");
        }
        Some(limit)
    }

    fn resources(&mut self, body: &Node, scope: &Scope, trail: &Trail<'_>) -> Resources {
        // Fractions came with v1.2 (section 1.2 of its CommandLineTool document).
        let fractions = scope.version >= Version::V1_2;
        let what = if fractions { "a number" } else { "an integer" };
        let mut get = |key: &str| {
            let fits = |value: &serde_json::Value| {
                value.is_i64() || value.is_u64() || (fractions && value.is_f64())
            };
            self.dynamic(body, key, fits, what, scope, trail)
        };
        Resources {
            cores_min: get("coresMin"),
            cores_max: get("coresMax"),
            ram_min: get("ramMin"),
            ram_max: get("ramMax"),
            tmpdir_min: get("tmpdirMin"),
            tmpdir_max: get("tmpdirMax"),
            outdir_min: get("outdirMin"),
            outdir_max: get("outdirMax"),
        }
    }

    fn variables(&mut self, body: &Node, scope: &Scope, trail: &Trail<'_>) -> Vec<EnvVar> {
        let Some(definitions) = body.get("envDef") else {
            self.error(body.mark, trail, "`envDef` is missing");
            return Vec::new();
        };
        let trail = trail.at("envDef");
        let mut variables = Vec::new();
        for entry in self.named(definitions, "envName", Some("envValue"), &trail) {
            let trail = trail.at(&entry.name);
            let value = match entry.body {
                Body::Short(value) => value,
                Body::Full(node) => {
                    self.object(node, "a variable", &[ENV_DEF], scope.version, &trail);
                    let Some(value) = node.get("envValue") else {
                        self.error(node.mark, &trail, "`envValue` is missing");
                        continue;
                    };
                    value
                }
            };
            match value.as_text() {
                Some(text) => variables.push(EnvVar {
                    name: entry.name,
                    value: self.expression_text(text, value.mark, scope),
                }),
                None => self.wrong(value, "envValue", "a string or an expression", &trail),
            }
        }
        variables
    }

    fn packages(&mut self, body: &Node, scope: &Scope, trail: &Trail<'_>) -> Vec<SoftwarePackage> {
        let Some(list) = body.get("packages") else {
            self.error(body.mark, trail, "`packages` is missing");
            return Vec::new();
        };
        let trail = trail.at("packages");
        let mut packages = Vec::new();
        for entry in self.named(list, "package", Some("specs"), &trail) {
            let trail = trail.at(&entry.name);
            let mut package = SoftwarePackage {
                package: entry.name.clone(),
                version: Vec::new(),
                specs: Vec::new(),
            };
            match entry.body {
                Body::Short(specs) => {
                    package.specs = specs
                        .each()
                        .iter()
                        .filter_map(Node::as_text)
                        .map(str::to_owned)
                        .collect();
                }
                Body::Full(node) => {
                    self.object(node, "a package", &[PACKAGE], scope.version, &trail);
                    package.version = self.strings(node, "version", &trail);
                    package.specs = self.strings(node, "specs", &trail);
                }
            }
            packages.push(package);
        }
        packages
    }
}
