//! Making an input object fit a process: defaults, types, formats, secondary files, contents and
//! listings.

use std::collections::HashSet;

use serde_json::Value;

use super::accept::{accept, member};
use super::files::{self, Class, Object, complete, each_outermost, load_contents, load_listing};
use super::scope::Scope;
use super::secondary::{self, Search};
use super::shared::Shared;
use crate::expression::{Context, Scripts};
use crate::{
    Binding, Field, Input, LoadListing, Process, RequirementKind, RunError, SecondaryFile, Text,
    Type,
};

/// What a parameter or field says about the files in its value.
struct Traits<'d> {
    secondary_files: &'d [SecondaryFile],
    format: &'d [Text],
    load_contents: bool,
    load_listing: Option<LoadListing>,
}

impl<'d> Traits<'d> {
    fn of_input(input: &'d Input) -> Self {
        Self {
            secondary_files: &input.secondary_files,
            format: &input.format,
            load_contents: input.load_contents || loads(input.binding.as_ref()),
            load_listing: input.load_listing,
        }
    }

    fn of_field(field: &'d Field) -> Self {
        Self {
            secondary_files: &field.secondary_files,
            format: &field.format,
            load_contents: field.load_contents || loads(field.binding.as_ref()),
            load_listing: field.load_listing,
        }
    }
}

fn loads(binding: Option<&Binding>) -> bool {
    binding.is_some_and(|binding| binding.load_contents)
}

/// The inputs of a process from what it is given; what it does not declare is left out. `outermost` says
/// that the caller of the run gives them, not a link: only then are secondary files looked for.
pub(super) fn prepare(
    process: &Process,
    mut given: Object,
    outermost: bool,
    scope: &Scope<'_>,
    scripts: &Scripts<'_>,
    shared: &Shared<'_>,
) -> Result<Object, RunError> {
    let mut inputs = Object::new();
    let mut by_default = HashSet::new();
    for input in &process.inputs {
        let mut value = given.shift_remove(&input.id).unwrap_or(Value::Null);
        if value.is_null() {
            value = input.default.clone().unwrap_or(Value::Null);
            by_default.insert(&input.id);
        }
        each_outermost(&mut value, &mut |object| complete(object, &shared.guard))
            .map_err(|error| of_input(&input.id, error))?;
        if value.is_null() && !input.type_.allows_null() {
            return Err(RunError::Input(format!(
                "input `{}` ({}) is missing",
                input.id, input.type_
            )));
        }
        accept(&input.type_, &value)
            .map_err(|reason| RunError::Input(format!("input `{}`: {reason}", input.id)))?;
        inputs.insert(input.id.clone(), value);
    }
    let listing = scope.find(|kind| match kind {
        RequirementKind::LoadListing(listing) => Some(*listing),
        _ => None,
    });
    let known = Value::Object(inputs);
    let mut dresser = Dresser {
        beside: outermost,
        context: Context {
            scripts,
            inputs: &known,
            own: &Value::Null,
            runtime: &Value::Null,
        },
        shared,
        default_listing: listing.flatten().unwrap_or(LoadListing::None),
    };
    let mut dressed = Object::new();
    for input in &process.inputs {
        let mut value = known.get(&input.id).cloned().unwrap_or(Value::Null);
        if input.type_.holds_files() {
            dresser.beside = outermost || by_default.contains(&input.id);
            dresser
                .dress(&mut value, &input.type_, &Traits::of_input(input))
                .map_err(|error| of_input(&input.id, error))?;
        }
        dressed.insert(input.id.clone(), value);
    }
    Ok(dressed)
}

fn of_input(id: &str, error: RunError) -> RunError {
    match error {
        RunError::Input(reason) => RunError::Input(format!("input `{id}`: {reason}")),
        other => other,
    }
}

struct Dresser<'s> {
    beside: bool,
    context: Context<'s>,
    shared: &'s Shared<'s>,
    default_listing: LoadListing,
}

impl Dresser<'_> {
    fn dress(&self, value: &mut Value, type_: &Type, traits: &Traits<'_>) -> Result<(), RunError> {
        match files::class(value) {
            Some(Class::File) => return self.file(value, traits),
            Some(Class::Directory) => {
                if let Value::Object(object) = value {
                    let how = traits.load_listing.unwrap_or(self.default_listing);
                    load_listing(object, how, &self.shared.guard)?;
                }
                return Ok(());
            }
            None => {}
        }
        match member(type_, value) {
            Some(Type::Array(array)) => {
                let items = value.as_array_mut().into_iter().flatten();
                items
                    .into_iter()
                    .try_for_each(|item| self.dress(item, &array.items, traits))
            }
            Some(Type::Record(record)) => {
                for field in &record.fields {
                    if let Some(item) = value.get_mut(&field.name) {
                        self.dress(item, &field.type_, &Traits::of_field(field))?;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn file(&self, value: &mut Value, traits: &Traits<'_>) -> Result<(), RunError> {
        self.check_format(value, traits.format)?;
        let Value::Object(object) = value else {
            return Ok(());
        };
        let declared = traits.secondary_files;
        let mut settle = |object: &mut Object| complete(object, &self.shared.guard);
        let search = Search {
            required: true,
            beside: self.beside,
        };
        secondary::attach(
            object,
            declared,
            search,
            self.context,
            self.shared,
            &mut settle,
        )?;
        if traits.load_contents {
            load_contents(object)?;
        }
        Ok(())
    }

    /// Section 5.1.3, `format`: a file must have a format that is one of those, or a kind of it.
    fn check_format(&self, value: &Value, formats: &[Text]) -> Result<(), RunError> {
        if formats.is_empty() {
            return Ok(());
        }
        let mut wanted = Vec::new();
        let context = self.context.with_self(value);
        for format in formats {
            match context.evaluate(format)? {
                Value::String(format) => wanted.push(format),
                Value::Array(items) => {
                    wanted.extend(items.iter().filter_map(Value::as_str).map(str::to_owned));
                }
                _ => {}
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let name = value
            .get("basename")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let Some(actual) = value.get("format").and_then(Value::as_str) else {
            return Err(RunError::Input(format!(
                "`{name}` has no format, but {} is wanted",
                wanted.join(" or ")
            )));
        };
        let ok = wanted
            .iter()
            .any(|format| actual == format || self.shared.ontology().is_kind_of(actual, format));
        if ok {
            return Ok(());
        }
        Err(RunError::Input(format!(
            "`{name}` has the format {actual}, but {} is wanted",
            wanted.join(" or ")
        )))
    }
}
