//! Inputs, outputs and their bindings.

use super::fields::{
    ARRAY, BINDING, ENUM, FieldRule, INPUT, OUTPUT_BINDING, PARAMETER, RECORD, SECONDARY_FILE,
    TOOL_OUTPUT, WORKFLOW_OUTPUT,
};
use super::files::resolve_locations;
use super::loader::{Loader, Scope};
use super::reading::{Body, Named, Trail, extensions};
use crate::expression::is_dynamic;
use crate::syntax::{Data, Node};
use crate::{
    Binding, Input, Links, LoadListing, Output, OutputBinding, Required, SecondaryFile, Text, Type,
    Version,
};

const LISTINGS: &[(&str, LoadListing)] = &[
    ("no_listing", LoadListing::None),
    ("shallow_listing", LoadListing::Shallow),
    ("deep_listing", LoadListing::Deep),
];

/// A type may be written out beside the parameter's other fields; its own fields are allowed then.
fn schema_rules(node: &Node) -> &'static [FieldRule] {
    match node.get("type").and_then(Node::as_text) {
        Some("array") => ARRAY,
        Some("record") => RECORD,
        Some("enum") => ENUM,
        _ => &[],
    }
}

impl Loader<'_> {
    pub(super) fn inputs(&mut self, node: &Node, scope: &Scope, trail: &Trail<'_>) -> Vec<Input> {
        let Some(inputs) = node.get("inputs") else {
            self.error(
                node.mark,
                trail,
                "`inputs` is missing: write inputs: [] for none",
            );
            return Vec::new();
        };
        let trail = trail.at("inputs");
        let entries = self.named(inputs, "id", Some("type"), &trail);
        entries
            .iter()
            .filter_map(|entry| self.input(entry, scope, &trail.at(&entry.name)))
            .collect()
    }

    fn input(&mut self, entry: &Named<'_>, scope: &Scope, trail: &Trail<'_>) -> Option<Input> {
        let mut input = Input {
            id: entry.name.clone(),
            type_: Type::Null,
            label: None,
            doc: None,
            secondary_files: Vec::new(),
            streamable: false,
            format: Vec::new(),
            load_contents: false,
            load_listing: None,
            default: None,
            binding: None,
            extensions: serde_json::Map::new(),
            mark: entry.mark,
        };
        let node = match entry.body {
            Body::Short(type_) => {
                input.type_ = self.type_of(type_, scope, trail)?;
                return Some(input);
            }
            Body::Full(node) => node,
        };
        let rules = [PARAMETER, INPUT, schema_rules(node)];
        let map = self.object(node, "an input", &rules, scope.version, trail)?;
        input.extensions = extensions(map);
        input.type_ = self.parameter_type(node, scope, trail)?;
        input.label = self.string(node, "label", trail);
        input.doc = self.doc(node, trail);
        input.secondary_files = self.secondary_files(node, scope, trail);
        input.streamable = self.boolean(node, "streamable", false, trail);
        input.format = self.formats(node, scope, trail);
        input.load_contents = self.boolean(node, "loadContents", false, trail);
        input.load_listing = self.load_listing(node, trail);
        input.binding = self.binding(node, "inputBinding", scope, trail);
        input.default = self.default_value(node);
        Some(input)
    }

    /// `default`, with locations made absolute. A null is no default.
    pub(super) fn default_value(&mut self, node: &Node) -> Option<serde_json::Value> {
        let default = node.get("default")?;
        let mut value = default.to_value();
        resolve_locations(&mut value, self.base(default.mark));
        Some(value)
    }

    pub(super) fn outputs(
        &mut self,
        node: &Node,
        of_workflow: bool,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Vec<Output> {
        let Some(outputs) = node.get("outputs") else {
            self.error(
                node.mark,
                trail,
                "`outputs` is missing: write outputs: [] for none",
            );
            return Vec::new();
        };
        let trail = trail.at("outputs");
        let entries = self.named(outputs, "id", Some("type"), &trail);
        entries
            .iter()
            .filter_map(|entry| self.output(entry, of_workflow, scope, &trail.at(&entry.name)))
            .collect()
    }

    fn output(
        &mut self,
        entry: &Named<'_>,
        of_workflow: bool,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Option<Output> {
        let mut output = Output {
            id: entry.name.clone(),
            type_: Type::Null,
            label: None,
            doc: None,
            secondary_files: Vec::new(),
            streamable: false,
            format: None,
            binding: None,
            links: Links::default(),
            extensions: serde_json::Map::new(),
            mark: entry.mark,
        };
        let node = match entry.body {
            Body::Short(type_) => {
                output.type_ = self.type_of(type_, scope, trail)?;
                return Some(output);
            }
            Body::Full(node) => node,
        };
        let own = if of_workflow {
            WORKFLOW_OUTPUT
        } else {
            TOOL_OUTPUT
        };
        let rules = [PARAMETER, own, schema_rules(node)];
        let map = self.object(node, "an output", &rules, scope.version, trail)?;
        output.extensions = extensions(map);
        output.type_ = self.parameter_type(node, scope, trail)?;
        output.label = self.string(node, "label", trail);
        output.doc = self.doc(node, trail);
        output.secondary_files = self.secondary_files(node, scope, trail);
        output.streamable = self.boolean(node, "streamable", false, trail);
        output.format = self.formats(node, scope, trail).into_iter().next();
        output.binding = self.output_binding(node, scope, trail);
        Some(output)
    }

    /// `secondaryFiles`: one or several of suffixes, expressions and maps (SecondaryFileSchema).
    pub(super) fn secondary_files(
        &mut self,
        node: &Node,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Vec<SecondaryFile> {
        let Some(field) = node.get("secondaryFiles") else {
            return Vec::new();
        };
        let trail = trail.at("secondaryFiles");
        field
            .each()
            .iter()
            .filter_map(|item| self.secondary_file(item, scope, &trail))
            .collect()
    }

    fn secondary_file(
        &mut self,
        node: &Node,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Option<SecondaryFile> {
        if let Some(pattern) = node.as_text() {
            return Some(self.secondary_pattern(pattern, node, Required::Default, scope));
        }
        let what = "an entry of secondaryFiles";
        self.object(node, what, &[SECONDARY_FILE], scope.version, trail)?;
        let Some(pattern) = node.get("pattern").and_then(Node::as_text) else {
            self.error(node.mark, trail, "a secondary file needs `pattern`");
            return None;
        };
        let required = match node.get("required").map(|field| (&field.data, field)) {
            None => Required::Default,
            Some((Data::Bool(value), _)) => Required::Fixed(*value),
            Some((Data::Text(text), field)) if is_dynamic(text) => {
                Required::Expression(self.expression_text(text, field.mark, scope))
            }
            Some((_, field)) => {
                self.wrong(field, "required", "true, false or an expression", trail);
                Required::Default
            }
        };
        Some(self.secondary_pattern(pattern, node, required, scope))
    }

    /// A question mark at the end says that the file may be missing (since v1.1).
    fn secondary_pattern(
        &mut self,
        pattern: &str,
        node: &Node,
        required: Required,
        scope: &Scope,
    ) -> SecondaryFile {
        let (pattern, required) = match pattern.strip_suffix('?') {
            Some(stem) if scope.version > Version::V1_0 && !is_dynamic(pattern) => {
                (stem, Required::Fixed(false))
            }
            _ => (pattern, required),
        };
        SecondaryFile {
            pattern: self.expression_text(pattern, node.mark, scope),
            required,
        }
    }

    /// `format`, with prefixes replaced by the IRIs they stand for.
    pub(super) fn formats(&mut self, node: &Node, scope: &Scope, trail: &Trail<'_>) -> Vec<Text> {
        let mut formats = self.texts(node, "format", trail);
        for format in &mut formats {
            if !is_dynamic(&format.text) {
                format.text = expand(&format.text, &scope.file.namespaces);
            }
        }
        formats
    }

    pub(super) fn load_listing(&mut self, node: &Node, trail: &Trail<'_>) -> Option<LoadListing> {
        self.word(node, "loadListing", LISTINGS, trail)
    }

    pub(super) fn binding(
        &mut self,
        node: &Node,
        key: &str,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Option<Binding> {
        let field = node.get(key)?;
        self.binding_of(field, scope, &trail.at(key))
    }

    pub(super) fn binding_of(
        &mut self,
        node: &Node,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Option<Binding> {
        self.object(node, "a binding", &[BINDING], scope.version, trail)?;
        let is_int = |value: &serde_json::Value| value.is_i64() || value.is_u64();
        Some(Binding {
            position: self.dynamic(node, "position", is_int, "an integer", scope, trail),
            prefix: self.string(node, "prefix", trail),
            separate: self.boolean(node, "separate", true, trail),
            item_separator: self.string(node, "itemSeparator", trail),
            value_from: self.text(node, "valueFrom", scope, trail),
            shell_quote: self.boolean(node, "shellQuote", true, trail),
            load_contents: self.boolean(node, "loadContents", false, trail),
            mark: node.mark,
        })
    }

    pub(super) fn output_binding(
        &mut self,
        node: &Node,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Option<OutputBinding> {
        let field = node.get("outputBinding")?;
        let trail = trail.at("outputBinding");
        self.object(
            field,
            "an output binding",
            &[OUTPUT_BINDING],
            scope.version,
            &trail,
        )?;
        let mut glob = self.texts(field, "glob", &trail);
        for pattern in &mut glob {
            *pattern = self.expression_text(&pattern.text, pattern.mark, scope);
        }
        Some(OutputBinding {
            glob,
            load_contents: self.boolean(field, "loadContents", false, &trail),
            load_listing: self.load_listing(field, &trail),
            output_eval: self.text(field, "outputEval", scope, &trail),
        })
    }
}

/// `edam:format_1929` as a whole IRI, where the prefix is known.
pub(crate) fn expand(
    name: &str,
    namespaces: &std::collections::BTreeMap<String, String>,
) -> String {
    match name.split_once(':') {
        Some((prefix, rest)) if !rest.starts_with("//") => match namespaces.get(prefix) {
            Some(iri) => format!("{iri}{rest}"),
            None => name.to_owned(),
        },
        _ => name.to_owned(),
    }
}
