//! Types of parameters (CWL v1.2, CommandLineTool, section 5.1.1 "CWLType" and the schemas after it).

use std::fmt;
use std::sync::Arc;

use super::{Binding, LoadListing, OutputBinding, SecondaryFile, Text};

/// A type with every name resolved.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// `null`
    Null,
    /// `boolean`
    Boolean,
    /// `int`: 32 bits.
    Int,
    /// `long`: 64 bits.
    Long,
    /// `float`
    Float,
    /// `double`
    Double,
    /// `string`
    String,
    /// `File`
    File,
    /// `Directory`
    Directory,
    /// Anything but null.
    Any,
    /// A file that is also the tool's standard input.
    Stdin,
    /// The tool's standard output as a file.
    Stdout,
    /// The tool's standard error as a file.
    Stderr,
    /// A list.
    Array(Arc<ArrayType>),
    /// A map with known fields.
    Record(Arc<RecordType>),
    /// One of some strings.
    Enum(Arc<EnumType>),
    /// Any of several types.
    Union(Vec<Type>),
}

/// A list type.
#[derive(Debug, Clone, PartialEq)]
pub struct ArrayType {
    /// The type of each element.
    pub items: Type,
    /// How the list goes onto the command line, where the schema says so itself.
    pub binding: Option<Binding>,
}

/// A record type.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordType {
    /// The name it was given, without file and namespace.
    pub name: Option<String>,
    /// The fields in the order of the document.
    pub fields: Vec<Field>,
    /// How the record goes onto the command line, where the schema says so itself.
    pub binding: Option<Binding>,
}

/// One field of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_: Type,
    /// A short name for people.
    pub label: Option<String>,
    /// Documentation.
    pub doc: Option<String>,
    /// Files beside a `File`.
    pub secondary_files: Vec<SecondaryFile>,
    /// True where the file is read or written from begin to end once.
    pub streamable: bool,
    /// Formats of a `File`, as IRIs or expressions.
    pub format: Vec<Text>,
    /// Whether the first 64 KiB of a `File` are loaded.
    pub load_contents: bool,
    /// How far a `Directory` is listed.
    pub load_listing: Option<LoadListing>,
    /// How the field of an input goes onto the command line.
    pub binding: Option<Binding>,
    /// How the field of an output is found.
    pub output_binding: Option<OutputBinding>,
}

/// An enumeration.
#[derive(Debug, Clone, PartialEq)]
pub struct EnumType {
    /// The name it was given, without file and namespace.
    pub name: Option<String>,
    /// What a value may be.
    pub symbols: Vec<String>,
    /// How the value goes onto the command line, where the schema says so itself.
    pub binding: Option<Binding>,
}

impl Type {
    /// A list of `items` without a binding.
    pub fn array_of(items: Type) -> Self {
        Self::Array(Arc::new(ArrayType {
            items,
            binding: None,
        }))
    }

    /// This type or null.
    #[must_use]
    pub fn optional(self) -> Self {
        if self.allows_null() {
            return self;
        }
        match self {
            Self::Union(mut members) => {
                members.insert(0, Self::Null);
                Self::Union(members)
            }
            other => Self::Union(vec![Self::Null, other]),
        }
    }

    /// The members of a union, or the type itself as the only one.
    pub fn members(&self) -> &[Type] {
        match self {
            Self::Union(members) => members,
            other => std::slice::from_ref(other),
        }
    }

    /// True where null is a value of the type.
    pub fn allows_null(&self) -> bool {
        self.members().iter().any(|member| *member == Self::Null)
    }

    /// True where some value of the type is or holds a `File` or a `Directory`.
    pub fn holds_files(&self) -> bool {
        match self {
            Self::File
            | Self::Directory
            | Self::Any
            | Self::Stdin
            | Self::Stdout
            | Self::Stderr => true,
            Self::Array(array) => array.items.holds_files(),
            Self::Record(record) => record.fields.iter().any(|field| field.type_.holds_files()),
            Self::Union(members) => members.iter().any(Self::holds_files),
            _ => false,
        }
    }

    /// True where every value that is not null is a `File`.
    pub fn is_file(&self) -> bool {
        self.members().iter().all(|member| {
            matches!(
                member,
                Self::File | Self::Stdin | Self::Stdout | Self::Stderr | Self::Null
            )
        })
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean => f.write_str("boolean"),
            Self::Int => f.write_str("int"),
            Self::Long => f.write_str("long"),
            Self::Float => f.write_str("float"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::File => f.write_str("File"),
            Self::Directory => f.write_str("Directory"),
            Self::Any => f.write_str("Any"),
            Self::Stdin => f.write_str("stdin"),
            Self::Stdout => f.write_str("stdout"),
            Self::Stderr => f.write_str("stderr"),
            Self::Array(array) => match &array.items {
                Self::Union(_) => write!(f, "({})[]", array.items),
                items => write!(f, "{items}[]"),
            },
            Self::Record(record) => {
                write!(
                    f,
                    "record {}",
                    record.name.as_deref().unwrap_or("without name")
                )
            }
            Self::Enum(values) => write!(f, "enum [{}]", values.symbols.join(", ")),
            Self::Union(members) => match members.as_slice() {
                [Self::Null, one] | [one, Self::Null] => write!(f, "{one}?"),
                members => {
                    for (index, member) in members.iter().enumerate() {
                        let bar = if index == 0 { "" } else { " or " };
                        write!(f, "{bar}{member}")?;
                    }
                    Ok(())
                }
            },
        }
    }
}
