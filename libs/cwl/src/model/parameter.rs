//! Inputs and outputs of processes, and how they are bound to a command line and to files.

use serde_json::{Map, Value};

use super::{Links, Type};
use crate::syntax::Mark;

/// A string that may hold expressions, with its place. Two texts are equal when their strings are.
#[derive(Debug, Clone, Default)]
pub struct Text {
    /// The string as written.
    pub text: String,
    /// Where it stands.
    pub mark: Mark,
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// A value that may instead be given by an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Dynamic {
    /// The value.
    Value(Value),
    /// What computes it.
    Expression(Text),
}

/// How far `listing` of a `Directory` is filled (LoadListingEnum).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadListing {
    /// Not at all.
    None,
    /// The folder's own entries.
    Shallow,
    /// Everything below.
    Deep,
}

impl LoadListing {
    /// As a document writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "no_listing",
            Self::Shallow => "shallow_listing",
            Self::Deep => "deep_listing",
        }
    }
}

/// Whether a secondary file must exist.
#[derive(Debug, Clone, PartialEq)]
pub enum Required {
    /// Yes for inputs, no for outputs.
    Default,
    /// As said.
    Fixed(bool),
    /// As computed with `self` the primary file.
    Expression(Text),
}

/// A file that belongs to another (SecondaryFileSchema).
#[derive(Debug, Clone, PartialEq)]
pub struct SecondaryFile {
    /// A suffix, with a caret for each extension to take away first, or an expression.
    pub pattern: Text,
    /// Whether it must exist.
    pub required: Required,
}

/// How a value goes onto the command line (CommandLineBinding).
#[derive(Debug, Clone)]
pub struct Binding {
    /// The first sorting key.
    pub position: Option<Dynamic>,
    /// What stands before the value.
    pub prefix: Option<String>,
    /// Whether prefix and value are two arguments.
    pub separate: bool,
    /// What joins the elements of a list into one argument.
    pub item_separator: Option<String>,
    /// What computes the value.
    pub value_from: Option<Text>,
    /// Whether the shell must take it literally.
    pub shell_quote: bool,
    /// Whether the first 64 KiB of a `File` are loaded (v1.0 form).
    pub load_contents: bool,
    /// Where it stands.
    pub mark: Mark,
}

impl Default for Binding {
    fn default() -> Self {
        Self {
            position: None,
            prefix: None,
            separate: true,
            item_separator: None,
            value_from: None,
            shell_quote: true,
            load_contents: false,
            mark: Mark::default(),
        }
    }
}

impl PartialEq for Binding {
    fn eq(&self, other: &Self) -> bool {
        self.position == other.position
            && self.prefix == other.prefix
            && self.separate == other.separate
            && self.item_separator == other.item_separator
            && self.value_from == other.value_from
            && self.shell_quote == other.shell_quote
            && self.load_contents == other.load_contents
    }
}

/// How an output is found after the tool ended (CommandOutputBinding).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OutputBinding {
    /// Patterns below the work folder.
    pub glob: Vec<Text>,
    /// Whether the first 64 KiB of each match are loaded.
    pub load_contents: bool,
    /// How far each matched folder is listed.
    pub load_listing: Option<LoadListing>,
    /// What computes the value from the matches.
    pub output_eval: Option<Text>,
}

/// An input of a process.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its name inside the process.
    pub id: String,
    /// Its type.
    pub type_: Type,
    /// A short name for people.
    pub label: Option<String>,
    /// Documentation.
    pub doc: Option<String>,
    /// Files that come with a `File`.
    pub secondary_files: Vec<SecondaryFile>,
    /// True where the file is read from begin to end once.
    pub streamable: bool,
    /// Formats that are accepted, as IRIs or expressions.
    pub format: Vec<Text>,
    /// Whether the first 64 KiB of a `File` are loaded.
    pub load_contents: bool,
    /// How far a `Directory` is listed.
    pub load_listing: Option<LoadListing>,
    /// The value where none is given; relative locations are resolved.
    pub default: Option<Value>,
    /// How it goes onto the command line (tools only).
    pub binding: Option<Binding>,
    /// Fields with a namespace, as they came.
    pub extensions: Map<String, Value>,
    /// Where it stands.
    pub mark: Mark,
}

impl Input {
    /// True where a caller must give a value.
    pub fn is_required(&self) -> bool {
        self.default.is_none() && !self.type_.allows_null()
    }
}

/// An output of a process.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its name inside the process.
    pub id: String,
    /// Its type.
    pub type_: Type,
    /// A short name for people.
    pub label: Option<String>,
    /// Documentation.
    pub doc: Option<String>,
    /// Files that belong to a `File`.
    pub secondary_files: Vec<SecondaryFile>,
    /// True where the file is written from begin to end once.
    pub streamable: bool,
    /// The format, as an IRI or expression.
    pub format: Option<Text>,
    /// How it is found (tools only).
    pub binding: Option<OutputBinding>,
    /// Where it comes from (workflows only).
    pub links: Links,
    /// Fields with a namespace, as they came.
    pub extensions: Map<String, Value>,
    /// Where it stands.
    pub mark: Mark,
}
