//! Finding the outputs of a tool after it ended (CWL v1.2, CommandLineTool, section 4.4 "Output
//! binding").

use std::path::{Display, Path, PathBuf};

use serde_json::Value;

use super::accept::accept_output;
use super::files::{self, Class, Object, class, complete, each_outermost, inside, object_of};
use super::globs;
use super::secondary::{self, Search};
use super::shared::Shared;
use crate::expression::Context;
use crate::syntax::parse_json;
use crate::{
    Field, Limits, Output, OutputBinding, Process, RecordType, RunError, SecondaryFile, Text, Type,
    path_of_uri, uri_of_path,
};

/// The largest `cwl.output.json` that is read.
const OUTPUT_OBJECT_LIMIT: u64 = 256 * 1024 * 1024;

/// Most files and folders in an output folder, links followed: two links in each of twenty folders are a million.
const MOST_ENTRIES: usize = 500_000;

const SEARCH: Search = Search {
    required: false,
    beside: true,
};

/// Finds outputs in the work folder of one job.
pub(super) struct Collector<'c> {
    pub(super) shared: &'c Shared<'c>,
    pub(super) context: Context<'c>,
    /// The work folder, links resolved.
    pub(super) folder: PathBuf,
    /// What the job was given: outputs may pass it on.
    pub(super) originals: Vec<PathBuf>,
    /// Names of the files for the streams.
    pub(super) stdout: &'c str,
    pub(super) stderr: &'c str,
}

/// What an output or a field of one says about its value.
struct Wanted<'d> {
    type_: &'d Type,
    binding: Option<&'d OutputBinding>,
    secondary_files: &'d [SecondaryFile],
    format: Option<&'d Text>,
}

impl<'d> Wanted<'d> {
    fn of_output(output: &'d Output) -> Self {
        Self {
            type_: &output.type_,
            binding: output.binding.as_ref(),
            secondary_files: &output.secondary_files,
            format: output.format.as_ref(),
        }
    }

    fn of_field(field: &'d Field) -> Self {
        Self {
            type_: &field.type_,
            binding: field.output_binding.as_ref(),
            secondary_files: &field.secondary_files,
            format: field.format.first(),
        }
    }
}

impl Collector<'_> {
    /// The output object: what the tool says in `cwl.output.json`, else what the bindings find.
    pub(super) fn outputs(&self, process: &Process) -> Result<Object, RunError> {
        let said = self.folder.join("cwl.output.json");
        let mut said = if said.symlink_metadata().is_ok_and(|found| found.is_file()) {
            Some(self.read_object(&said)?)
        } else {
            None
        };
        let mut outputs = Object::new();
        for output in &process.outputs {
            let wanted = Wanted::of_output(output);
            let value = match &mut said {
                Some(said) => {
                    let mut value = said.shift_remove(&output.id).unwrap_or(Value::Null);
                    each_outermost(&mut value, &mut |object| self.settle(object)).map(|()| value)
                }
                None => self.value(&wanted),
            };
            let value = value
                .and_then(|mut value| self.finish(&mut value, &wanted).map(|()| value))
                .map_err(|error| of_output(&output.id, error))?;
            outputs.insert(output.id.clone(), value);
        }
        Ok(outputs)
    }

    fn read_object(&self, path: &Path) -> Result<Object, RunError> {
        let fault = |reason: String| RunError::Output(format!("cwl.output.json: {reason}"));
        let size = path.metadata().map_or(0, |found| found.len());
        if size > OUTPUT_OBJECT_LIMIT {
            return Err(fault(format!("it has {size} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
        let limits = Limits {
            nodes: usize::MAX,
            ..Limits::default()
        };
        match parse_json(&text, &limits) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(fault("it must hold a map".to_owned())),
            Err(error) => Err(fault(error.to_string())),
        }
    }

    fn value(&self, wanted: &Wanted<'_>) -> Result<Value, RunError> {
        match (wanted.type_, wanted.binding) {
            (Type::Stdout, _) => self.stream(self.stdout),
            (Type::Stderr, _) => self.stream(self.stderr),
            (type_, None) => match record_of(type_) {
                Some(record) => self.record(record),
                None => Ok(Value::Null),
            },
            (type_, Some(binding)) => self.bound(type_, binding),
        }
    }

    fn stream(&self, name: &str) -> Result<Value, RunError> {
        let mut object = object_of(&self.folder.join(name))?;
        self.settle(&mut object)?;
        Ok(Value::Object(object))
    }

    fn record(&self, record: &RecordType) -> Result<Value, RunError> {
        let mut fields = Object::new();
        for field in &record.fields {
            let wanted = Wanted::of_field(field);
            let value = self
                .value(&wanted)
                .and_then(|mut value| self.finish(&mut value, &wanted).map(|()| value))
                .map_err(|error| of_output(&field.name, error))?;
            fields.insert(field.name.clone(), value);
        }
        Ok(Value::Object(fields))
    }

    fn bound(&self, type_: &Type, binding: &OutputBinding) -> Result<Value, RunError> {
        let found = self.matches(binding)?;
        if let Some(text) = &binding.output_eval {
            let own = Value::Array(found);
            let mut value = self.context.with_self(&own).evaluate(text)?;
            each_outermost(&mut value, &mut |object| self.settle(object))?;
            return Ok(value);
        }
        if binding.glob.is_empty() {
            return Ok(record_of(type_)
                .map(|record| self.record(record))
                .transpose()?
                .unwrap_or_default());
        }
        choose(type_, found, binding)
    }

    fn matches(&self, binding: &OutputBinding) -> Result<Vec<Value>, RunError> {
        let mut found = Vec::new();
        for pattern in &binding.glob {
            let patterns = match self.context.evaluate(pattern)? {
                Value::String(pattern) => vec![pattern],
                Value::Array(items) => items
                    .iter()
                    .map(|item| item.as_str().map(str::to_owned))
                    .collect::<Option<_>>()
                    .ok_or_else(|| RunError::Output("a glob must be a string".to_owned()))?,
                Value::Null => Vec::new(),
                other => {
                    return Err(RunError::Output(format!(
                        "a glob must be a string, not {other}"
                    )));
                }
            };
            for pattern in patterns {
                for path in globs::matches(&self.folder, &pattern)? {
                    let mut object = object_of(&path)?;
                    self.settle(&mut object)?;
                    if binding.load_contents {
                        files::load_contents(&mut object)?;
                    }
                    if let (Some(Class::Directory), Some(how)) =
                        (class(&Value::Object(object.clone())), binding.load_listing)
                    {
                        files::load_listing(&mut object, how, &self.shared.guard)?;
                    }
                    found.push(Value::Object(object));
                }
            }
        }
        Ok(found)
    }

    /// Makes the place of a file that the tool left, or names, absolute and checks that it may be given
    /// away: it lies in the work folder or was an input.
    fn settle(&self, object: &mut Object) -> Result<(), RunError> {
        let named = match (files::text(object, "path"), files::text(object, "location")) {
            (Some(path), _) => Some(inside(&self.folder, path)),
            (None, Some(location)) if location.starts_with("file:") => path_of_uri(location),
            (None, Some(location)) if !location.starts_with("_:") => {
                let base = uri_of_path(&self.folder.join("_"));
                path_of_uri(&crate::resolve::join(&base, location))
            }
            _ => None,
        };
        if let Some(named) = named {
            let real = self.allowed(&named)?;
            if real.is_dir() {
                self.allowed_below(&real)?;
            }
            object.shift_remove("path");
            if !object.contains_key("basename") {
                let name = named.file_name().unwrap_or_default().to_string_lossy();
                object.insert("basename".to_owned(), name.into());
            }
            // A link in the work folder keeps its place until all is found: its companions lie there.
            let place = if named.starts_with(&self.folder) {
                &named
            } else {
                &real
            };
            object.insert("location".to_owned(), uri_of_path(place).into());
        }
        for key in ["secondaryFiles", "listing"] {
            if let Some(items) = object.get_mut(key) {
                each_outermost(items, &mut |item| self.settle(item))?;
            }
        }
        // What is allowed was decided above; the guard of inputs does not know this job's originals.
        complete(object, &files::Guard::default())
    }

    fn allowed(&self, path: &Path) -> Result<PathBuf, RunError> {
        let inside = |real: &Path| {
            let mut places = std::iter::once(&self.folder).chain(&self.originals);
            places.any(|place| real.starts_with(place))
        };
        let why = match path.canonicalize() {
            Ok(real) if inside(&real) => return Ok(real),
            Ok(_) => None,
            // Whether there is something outside is not for a document to find out.
            Err(error) => {
                let there = path.ancestors().find_map(|place| place.canonicalize().ok());
                let dangles = path.symlink_metadata().is_ok();
                (!dangles && there.is_some_and(|real| inside(&real))).then_some(error)
            }
        };
        let shown = self.shown(path);
        Err(RunError::Output(match why {
            Some(error) => format!("cannot read `{shown}`: {error}"),
            None => format!("`{shown}` lies outside the work folder"),
        }))
    }

    /// A path as the tool knows it.
    fn shown<'p>(&self, path: &'p Path) -> Display<'p> {
        path.strip_prefix(&self.folder).unwrap_or(path).display()
    }

    /// Links in a folder must not lead out of it either, nor back into a folder that holds them: an output
    /// has no links, and followed, these would never end.
    fn allowed_below(&self, folder: &Path) -> Result<(), RunError> {
        let walk = walkdir::WalkDir::new(folder)
            .min_depth(1)
            .follow_links(true);
        for (count, entry) in walk.into_iter().enumerate() {
            let entry = entry.map_err(|error| self.not_walked(&error))?;
            if entry.path_is_symlink() {
                self.allowed(entry.path())?;
            }
            if count >= MOST_ENTRIES {
                return Err(RunError::Output(format!(
                    "`{}` holds more than {MOST_ENTRIES} files and folders, links followed",
                    self.shown(folder)
                )));
            }
        }
        Ok(())
    }

    fn not_walked(&self, error: &walkdir::Error) -> RunError {
        let path = self.shown(error.path().unwrap_or(&self.folder));
        RunError::Output(match (error.loop_ancestor(), error.io_error()) {
            (Some(holder), _) => format!(
                "`{path}` is a link to `{}`, a folder that holds it: take the link away",
                self.shown(holder)
            ),
            (None, Some(error)) => format!("cannot read `{path}`: {error}"),
            (None, None) => format!("cannot read `{path}`"),
        })
    }

    /// Secondary files, format and type of a value that was found.
    fn finish(&self, value: &mut Value, wanted: &Wanted<'_>) -> Result<(), RunError> {
        each_outermost(value, &mut |object| {
            if files::text(object, "class") != Some("File") {
                return Ok(());
            }
            let declared = wanted.secondary_files;
            let mut settle = |object: &mut Object| self.settle(object);
            secondary::attach(
                object,
                declared,
                SEARCH,
                self.context,
                self.shared,
                &mut settle,
            )?;
            if let Some(format) = wanted.format {
                let own = Value::Object(object.clone());
                let format = self.context.with_self(&own).evaluate(format)?;
                if !format.is_null() {
                    object.insert("format".to_owned(), format);
                }
            }
            Ok(())
        })?;
        follow_links(value);
        accept_output(wanted.type_, value).map_err(RunError::Output)
    }
}

/// Replaces the locations of links by where they lead, at any depth.
fn follow_links(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(follow_links),
        Value::Object(object) => {
            if let Some(Ok(real)) = files::source(object).map(|path| path.canonicalize()) {
                object.insert("location".to_owned(), uri_of_path(&real).into());
                object.insert("path".to_owned(), real.to_string_lossy().into());
            }
            object.values_mut().for_each(follow_links);
        }
        _ => {}
    }
}

/// The only record among the members of a type.
fn record_of(type_: &Type) -> Option<&RecordType> {
    type_.members().iter().find_map(|member| match member {
        Type::Record(record) => Some(record.as_ref()),
        _ => None,
    })
}

/// The value for matches without outputEval: one file, a list, or null.
fn choose(type_: &Type, mut found: Vec<Value>, binding: &OutputBinding) -> Result<Value, RunError> {
    let mut takes_one = false;
    let mut takes_many = false;
    for member in type_.members() {
        match member {
            Type::File | Type::Directory => takes_one = true,
            Type::Array(_) => takes_many = true,
            Type::Any => (takes_one, takes_many) = (true, true),
            _ => {}
        }
    }
    let patterns = || {
        let texts: Vec<_> = binding.glob.iter().map(|glob| glob.text.as_str()).collect();
        texts.join(", ")
    };
    match found.len() {
        1 if takes_one => Ok(found.swap_remove(0)),
        0 if !takes_many && type_.allows_null() => Ok(Value::Null),
        _ if takes_many => Ok(Value::Array(found)),
        0 => Err(RunError::Output(format!(
            "nothing matches the glob `{}`",
            patterns()
        ))),
        count => Err(RunError::Output(format!(
            "{count} files match the glob `{}`, but {type_} takes one",
            patterns()
        ))),
    }
}

fn of_output(id: &str, error: RunError) -> RunError {
    match error {
        RunError::Output(reason) | RunError::Input(reason) => {
            RunError::Output(format!("output `{id}`: {reason}"))
        }
        other => other,
    }
}
