//! Types: names, the shorthands `?` and `[]`, schemas written out, and SchemaDefRequirement.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::fields::{ARRAY, ENUM, RECORD, RECORD_FIELD, SCHEMA};
use super::loader::{Loader, Scope, fragment, short};
use super::reading::{Body, Trail, nearest};
use crate::syntax::{Data, Mark, Node};
use crate::{ArrayType, EnumType, Field, RecordType, Type, Version};

const NAMES: &[(&str, Type, Version)] = &[
    ("null", Type::Null, Version::V1_0),
    ("boolean", Type::Boolean, Version::V1_0),
    ("int", Type::Int, Version::V1_0),
    ("long", Type::Long, Version::V1_0),
    ("float", Type::Float, Version::V1_0),
    ("double", Type::Double, Version::V1_0),
    ("string", Type::String, Version::V1_0),
    ("File", Type::File, Version::V1_0),
    ("Directory", Type::Directory, Version::V1_0),
    ("Any", Type::Any, Version::V1_0),
    ("stdin", Type::Stdin, Version::V1_1),
    ("stdout", Type::Stdout, Version::V1_0),
    ("stderr", Type::Stderr, Version::V1_0),
];

/// Named types of a process and of those around it. A type is read when it is first used, so that
/// types may name others that come later.
#[derive(Default)]
pub(super) struct TypeScope {
    parent: Option<Arc<TypeScope>>,
    known: Mutex<HashMap<String, Known>>,
}

enum Known {
    Unread(Node),
    Reading,
    Read(Option<Type>),
}

impl TypeScope {
    pub(super) fn below(parent: &Arc<TypeScope>) -> Self {
        Self {
            parent: Some(Arc::clone(parent)),
            known: Mutex::default(),
        }
    }

    /// Announces a schema under its full name and its last part.
    pub(super) fn announce(&self, name: &str, node: &Node) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for key in [fragment(name), short(name)] {
            known
                .entry(key.to_owned())
                .or_insert_with(|| Known::Unread(node.clone()));
        }
    }

    fn set(&self, name: &str, state: Known) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(name.to_owned(), state);
    }

    fn begin(&self, name: &str) -> Option<Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let state = known.get_mut(name)?;
        Some(match state {
            Known::Read(read) => Known::Read(read.clone()),
            unread => std::mem::replace(unread, Known::Reading),
        })
    }
}

impl Loader<'_> {
    /// The type in `node`, which is a name, a schema, or a list of either.
    pub(super) fn type_of(
        &mut self,
        node: &Node,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Option<Type> {
        match &node.data {
            Data::Text(name) => self.type_name(name, node.mark, scope, trail),
            Data::List(members) => {
                let mut union = Vec::with_capacity(members.len());
                for member in members {
                    match self.type_of(member, scope, trail)? {
                        Type::Union(inner) => union.extend(inner),
                        one => union.push(one),
                    }
                }
                if union.is_empty() {
                    self.error(node.mark, trail, "a list of types needs at least one");
                    return None;
                }
                if union.len() == 1 {
                    return union.pop();
                }
                Some(Type::Union(union))
            }
            Data::Map(_) => self.schema(node, scope, trail),
            _ => {
                let message = format!("a type cannot be {}", node.describe());
                self.error(node.mark, trail, message);
                None
            }
        }
    }

    fn type_name(
        &mut self,
        name: &str,
        mark: Mark,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Option<Type> {
        if let Some(inner) = name.strip_suffix('?') {
            return Some(self.type_name(inner, mark, scope, trail)?.optional());
        }
        if let Some(inner) = name.strip_suffix("[]") {
            return Some(Type::array_of(self.type_name(inner, mark, scope, trail)?));
        }
        if let Some((_, type_, since)) = NAMES.iter().find(|(known, _, _)| *known == name) {
            if *since > scope.version {
                let message = format!("type `{name}` came with CWL {since}");
                self.error(mark, trail, message);
            }
            return Some(type_.clone());
        }
        self.defined_type(name, mark, scope, trail)
    }

    fn defined_type(
        &mut self,
        name: &str,
        mark: Mark,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Option<Type> {
        let mut level = Some(&scope.types);
        while let Some(types) = level {
            for key in [fragment(name), short(name)] {
                match types.begin(key) {
                    Some(Known::Read(read)) => return read,
                    Some(Known::Reading) => {
                        self.error(mark, trail, format!("type `{name}` contains itself"));
                        return None;
                    }
                    Some(Known::Unread(node)) => {
                        let read = self.schema(&node, scope, trail);
                        types.set(key, Known::Read(read.clone()));
                        return read;
                    }
                    None => {}
                }
            }
            level = types.parent.as_ref();
        }
        let hint = nearest(name, NAMES.iter().map(|(known, _, _)| *known))
            .map_or_else(String::new, |near| format!(": did you mean `{near}`?"));
        self.error(mark, trail, format!("there is no type `{name}`{hint}"));
        None
    }

    /// A type that is written out.
    fn schema(&mut self, node: &Node, scope: &Scope, trail: &Trail<'_>) -> Option<Type> {
        let Some(kind) = node.get("type") else {
            self.error(node.mark, trail, "a schema needs `type`");
            return None;
        };
        let specific = match kind.as_text() {
            Some("array") => ARRAY,
            Some("record") => RECORD,
            Some("enum") => ENUM,
            _ => &[],
        };
        self.object(node, "a schema", &[SCHEMA, specific], scope.version, trail)?;
        let name = self
            .string(node, "name", trail)
            .map(|name| short(&name).to_owned());
        let binding = self.binding(node, "inputBinding", scope, trail);
        match kind.as_text() {
            Some("array") => {
                let Some(items) = node.get("items") else {
                    self.error(node.mark, trail, "an array needs `items`");
                    return None;
                };
                let items = self.type_of(items, scope, &trail.at("items"))?;
                Some(Type::Array(Arc::new(ArrayType { items, binding })))
            }
            Some("record") => {
                let fields = self.record_fields(node, scope, trail);
                Some(Type::Record(Arc::new(RecordType {
                    name,
                    fields,
                    binding,
                })))
            }
            Some("enum") => {
                let symbols: Vec<String> = self
                    .strings(node, "symbols", trail)
                    .iter()
                    .map(|symbol| {
                        if symbol.contains('#') {
                            short(symbol)
                        } else {
                            symbol
                        }
                    })
                    .map(str::to_owned)
                    .collect();
                if symbols.is_empty() {
                    self.error(node.mark, trail, "an enum needs `symbols`");
                    return None;
                }
                Some(Type::Enum(Arc::new(EnumType {
                    name,
                    symbols,
                    binding,
                })))
            }
            // `{type: string, inputBinding: ..}` or a union one level down.
            _ => self.type_of(kind, scope, &trail.at("type")),
        }
    }

    fn record_fields(&mut self, node: &Node, scope: &Scope, trail: &Trail<'_>) -> Vec<Field> {
        let Some(fields) = node.get("fields") else {
            return Vec::new();
        };
        let trail = trail.at("fields");
        let mut read = Vec::new();
        for entry in self.named(fields, "name", Some("type"), &trail) {
            let trail = trail.at(&entry.name);
            if let Some(field) = self.record_field(&entry.name, &entry.body, scope, &trail) {
                read.push(field);
            }
        }
        read
    }

    fn record_field(
        &mut self,
        name: &str,
        body: &Body<'_>,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Option<Field> {
        let mut field = Field {
            name: name.to_owned(),
            type_: Type::Null,
            label: None,
            doc: None,
            secondary_files: Vec::new(),
            streamable: false,
            format: Vec::new(),
            load_contents: false,
            load_listing: None,
            binding: None,
            output_binding: None,
        };
        let node = match body {
            Body::Short(type_) => {
                field.type_ = self.type_of(type_, scope, trail)?;
                return Some(field);
            }
            Body::Full(node) => node,
        };
        let rules: &[_] = match node.get("type").and_then(Node::as_text) {
            Some("array") => &[RECORD_FIELD, ARRAY],
            Some("record") => &[RECORD_FIELD, RECORD],
            Some("enum") => &[RECORD_FIELD, ENUM],
            _ => &[RECORD_FIELD],
        };
        self.object(node, "a record field", rules, scope.version, trail)?;
        field.type_ = self.parameter_type(node, scope, trail)?;
        field.label = self.string(node, "label", trail);
        field.doc = self.doc(node, trail);
        field.secondary_files = self.secondary_files(node, scope, trail);
        field.streamable = self.boolean(node, "streamable", false, trail);
        field.format = self.formats(node, scope, trail);
        field.load_contents = self.boolean(node, "loadContents", false, trail);
        field.load_listing = self.load_listing(node, trail);
        field.binding = self.binding(node, "inputBinding", scope, trail);
        field.output_binding = self.output_binding(node, scope, trail);
        Some(field)
    }

    /// The `type` of a parameter or field. The fields of the schema may stand beside it, as in
    /// `type: enum` with `symbols` next to it.
    pub(super) fn parameter_type(
        &mut self,
        node: &Node,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Option<Type> {
        let Some(type_) = node.get("type") else {
            self.error(node.mark, trail, "`type` is missing");
            return None;
        };
        if matches!(type_.as_text(), Some("array" | "record" | "enum")) {
            return self.schema(node, scope, trail);
        }
        self.type_of(type_, scope, &trail.at("type"))
    }
}
