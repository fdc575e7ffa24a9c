//! Building the command line (CWL v1.2, CommandLineTool, section 4.1 "Input binding").

use serde_json::Value;

use super::accept::member;
use super::files;
use super::resources::dynamic;
use crate::expression::{Context, dump, is_dynamic};
use crate::{Argument, Binding, CommandLineTool, Process, RunError, Type};

/// One word of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    text: String,
    /// Whether a shell must take it literally.
    quote: bool,
}

/// A part of a sorting key: numbers come before names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(i64),
    Name(String),
}

/// The words of one binding with their sorting key.
struct Bound {
    key: Vec<Key>,
    words: Vec<Word>,
}

/// A binding together with its position, which may be inherited from an outer list.
#[derive(Clone)]
struct Placed<'b> {
    binding: &'b Binding,
    position: Vec<Key>,
}

/// The words of the command line in their order, without the base command.
pub(super) fn words(
    process: &Process,
    tool: &CommandLineTool,
    context: Context<'_>,
) -> Result<Vec<Word>, RunError> {
    let builder = Builder { context };
    let mut bound = Vec::new();
    for (index, argument) in tool.arguments.iter().enumerate() {
        bound.push(builder.argument(argument, index)?);
    }
    for input in &process.inputs {
        let value = context.inputs.get(&input.id).unwrap_or(&Value::Null);
        if value.is_null() {
            continue;
        }
        let own = match &input.binding {
            Some(binding) => Some(builder.placed(binding, value)?),
            None => None,
        };
        let name = Key::Name(input.id.clone());
        bound.extend(builder.bind(&input.type_, own, value, None, Some(&name))?);
    }
    bound.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(bound.into_iter().flat_map(|bound| bound.words).collect())
}

/// The command: base command and words, or a shell with all of them as one line.
pub(super) fn argv(tool: &CommandLineTool, words: Vec<Word>, shell: bool) -> Vec<String> {
    let base = tool.base_command.iter().cloned();
    if !shell {
        return base
            .chain(words.into_iter().map(|word| word.text))
            .collect();
    }
    let base = base.map(|text| Word { text, quote: true });
    let line: Vec<String> = base
        .chain(words)
        .map(|word| {
            if word.quote {
                quote(&word.text)
            } else {
                word.text
            }
        })
        .collect();
    vec!["/bin/sh".to_owned(), "-c".to_owned(), line.join(" ")]
}

/// A word as a shell reads it literally.
fn quote(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@%+=:,./-_".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\"'\"'"))
}

struct Builder<'c> {
    context: Context<'c>,
}

impl Builder<'_> {
    fn argument(&self, argument: &Argument, index: usize) -> Result<Bound, RunError> {
        let index = Key::Number(i64::try_from(index).unwrap_or(i64::MAX));
        match argument {
            Argument::Text(text) if !is_dynamic(&text.text) => Ok(Bound {
                key: vec![Key::Number(0), index],
                words: vec![Word {
                    text: text.text.clone(),
                    quote: true,
                }],
            }),
            Argument::Text(text) => {
                let binding = Binding {
                    value_from: Some(text.clone()),
                    ..Binding::default()
                };
                Ok(Bound {
                    key: vec![Key::Number(0), index],
                    words: self.generate(&binding, &Value::Null)?,
                })
            }
            Argument::Binding(binding) => {
                let mut key = self.placed(binding, &Value::Null)?.position;
                key.push(index);
                Ok(Bound {
                    key,
                    words: self.generate(binding, &Value::Null)?,
                })
            }
        }
    }

    fn placed<'b>(&self, binding: &'b Binding, value: &Value) -> Result<Placed<'b>, RunError> {
        let position = match &binding.position {
            None => 0,
            Some(position) => {
                let found = dynamic(self.context.with_self(value), position)?;
                match found {
                    Value::Null => 0,
                    found => found.as_i64().ok_or_else(|| {
                        RunError::Input(format!("a position must be an integer, not {found}"))
                    })?,
                }
            }
        };
        Ok(Placed {
            binding,
            position: vec![Key::Number(position)],
        })
    }

    /// The words of a value and of what it contains. `lead` is its index in a list, `tail` the name it
    /// goes by.
    fn bind(
        &self,
        type_: &Type,
        own: Option<Placed<'_>>,
        value: &Value,
        lead: Option<usize>,
        tail: Option<&Key>,
    ) -> Result<Vec<Bound>, RunError> {
        let computed = own
            .as_ref()
            .is_some_and(|own| own.binding.value_from.is_some());
        if let Type::Union(_) = type_
            && !computed
        {
            return match member(type_, value) {
                Some(one) => self.bind(one, own, value, lead, tail),
                None => Ok(Vec::new()),
            };
        }
        // With valueFrom the whole is what it says, and the parts are not looked at.
        let mut bound = if computed {
            Vec::new()
        } else {
            self.parts(type_, own.as_ref(), value, lead, tail)?
        };
        self.finish(&mut bound, own, value, lead, tail)?;
        Ok(bound)
    }

    /// Puts a binding before its parts.
    fn finish(
        &self,
        bound: &mut Vec<Bound>,
        own: Option<Placed<'_>>,
        value: &Value,
        lead: Option<usize>,
        tail: Option<&Key>,
    ) -> Result<(), RunError> {
        let Some(own) = own else {
            return Ok(());
        };
        let key = surrounded(&own.position, lead, tail);
        for part in bound.iter_mut() {
            let inner = std::mem::take(&mut part.key);
            part.key = key.iter().cloned().chain(inner).collect();
        }
        bound.push(Bound {
            key,
            words: self.generate(own.binding, value)?,
        });
        Ok(())
    }

    /// The words of the parts of a list or record, under the binding of the schema itself.
    fn parts(
        &self,
        type_: &Type,
        outer: Option<&Placed<'_>>,
        value: &Value,
        lead: Option<usize>,
        tail: Option<&Key>,
    ) -> Result<Vec<Bound>, RunError> {
        let plain = Binding::default();
        match (type_, value) {
            (Type::Array(array), Value::Array(items)) => {
                let joined = outer.is_some_and(|outer| outer.binding.item_separator.is_some());
                let own = match &array.binding {
                    Some(binding) => Some(self.placed(binding, value)?),
                    // Elements of a list that is bound go onto the line one by one.
                    None if outer.is_some() && !joined => Some(self.placed(&plain, value)?),
                    None => None,
                };
                self.elements(&array.items, own, items, lead, tail)
            }
            (Type::Any, Value::Array(items)) => {
                let joined = outer.is_some_and(|outer| outer.binding.item_separator.is_some());
                let own = match outer {
                    Some(_) if !joined => Some(self.placed(&plain, value)?),
                    _ => None,
                };
                self.elements(&Type::Any, own, items, lead, tail)
            }
            (Type::Record(record), Value::Object(fields)) => {
                let mut bound = Vec::new();
                for field in &record.fields {
                    let Some(item) = fields.get(&field.name).filter(|item| !item.is_null()) else {
                        continue;
                    };
                    let own = match &field.binding {
                        Some(binding) => Some(self.placed(binding, item)?),
                        None => None,
                    };
                    let name = Key::Name(field.name.clone());
                    bound.extend(self.bind(&field.type_, own, item, lead, Some(&name))?);
                }
                self.schema(&mut bound, record.binding.as_ref(), value, lead, tail)?;
                Ok(bound)
            }
            (Type::Enum(values), _) => {
                let mut bound = Vec::new();
                self.schema(&mut bound, values.binding.as_ref(), value, lead, tail)?;
                Ok(bound)
            }
            _ => Ok(Vec::new()),
        }
    }

    fn schema(
        &self,
        bound: &mut Vec<Bound>,
        binding: Option<&Binding>,
        value: &Value,
        lead: Option<usize>,
        tail: Option<&Key>,
    ) -> Result<(), RunError> {
        let own = match binding {
            Some(binding) => Some(self.placed(binding, value)?),
            None => None,
        };
        self.finish(bound, own, value, lead, tail)
    }

    fn elements(
        &self,
        items: &Type,
        own: Option<Placed<'_>>,
        values: &[Value],
        lead: Option<usize>,
        tail: Option<&Key>,
    ) -> Result<Vec<Bound>, RunError> {
        let mut bound = Vec::new();
        let own = own.map(|own| Placed {
            position: surrounded(&own.position, lead, tail),
            ..own
        });
        for (index, value) in values.iter().enumerate() {
            bound.extend(self.bind(items, own.clone(), value, Some(index), tail)?);
        }
        Ok(bound)
    }

    /// The words that one binding makes of one value.
    fn generate(&self, binding: &Binding, value: &Value) -> Result<Vec<Word>, RunError> {
        let computed = match &binding.value_from {
            Some(text) => Some(self.context.with_self(value).evaluate(text)?),
            None => None,
        };
        let value = computed.as_ref().unwrap_or(value);
        let word = |text: String| Word {
            text,
            quote: binding.shell_quote,
        };
        let prefix = || binding.prefix.iter().map(|prefix| word(prefix.clone()));
        let text = match value {
            Value::Null | Value::Bool(false) => return Ok(Vec::new()),
            Value::Bool(true) => return Ok(prefix().collect()),
            Value::Array(items) => match &binding.item_separator {
                Some(separator) if !items.is_empty() => {
                    let texts: Vec<String> = items.iter().map(argument_text).collect();
                    texts.join(separator)
                }
                _ if computed.is_some() => {
                    let texts = items.iter().map(|item| word(argument_text(item)));
                    return Ok(prefix().chain(texts).collect());
                }
                _ if items.is_empty() => return Ok(Vec::new()),
                _ => return Ok(prefix().collect()),
            },
            Value::Object(_) if files::class(value).is_none() => return Ok(prefix().collect()),
            scalar => argument_text(scalar),
        };
        Ok(match (&binding.prefix, binding.separate) {
            (None, _) => vec![word(text)],
            (Some(prefix), true) => vec![word(prefix.clone()), word(text)],
            (Some(prefix), false) => vec![word(format!("{prefix}{text}"))],
        })
    }
}

/// A position with the index before it and the name after it.
fn surrounded(position: &[Key], lead: Option<usize>, tail: Option<&Key>) -> Vec<Key> {
    let lead = lead.map(|index| Key::Number(i64::try_from(index).unwrap_or(i64::MAX)));
    lead.into_iter()
        .chain(position.iter().cloned())
        .chain(tail.cloned())
        .collect()
}

/// A value as one argument: files by their path, numbers without exponent.
fn argument_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => format!("{float}"),
            _ => number.to_string(),
        },
        Value::Object(object) if files::class(value).is_some() => {
            files::text(object, "path").unwrap_or_default().to_owned()
        }
        other => dump(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_the_shell_only_where_needed() {
        assert_eq!(quote("a/b.txt"), "a/b.txt");
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's"), "'it'\"'\"'s'");
        assert_eq!(quote(""), "''");
    }

    #[test]
    fn numbers_come_before_names_in_keys() {
        assert!(Key::Number(99) < Key::Name("a".to_owned()));
        let outer = vec![Key::Number(1)];
        let inner = vec![Key::Number(1), Key::Name("a".to_owned())];
        assert!(outer < inner);
    }

    #[test]
    fn floats_have_no_exponent() {
        assert_eq!(argument_text(&serde_json::json!(1.23e-5)), "0.0000123");
        assert_eq!(
            argument_text(&serde_json::json!(1e20)),
            "100000000000000000000"
        );
        assert_eq!(argument_text(&serde_json::json!(123_000.0)), "123000");
    }
}
