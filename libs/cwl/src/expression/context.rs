//! Evaluating a string with everything an expression may refer to.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::Value;

use super::{Evaluator, ParameterReference, Piece, Root, Script, excerpt, is_dynamic, scan};
use crate::decimal::decimal;
use crate::{RunError, Text};

/// What evaluates scripts, where the document allows them.
#[derive(Clone)]
pub(crate) struct Scripts<'e> {
    pub(crate) evaluator: &'e dyn Evaluator,
    /// The `expressionLib`; none where there is no InlineJavascriptRequirement.
    pub(crate) library: Option<Cow<'e, [String]>>,
}

/// The variables that an expression sees.
#[derive(Clone, Copy)]
pub(crate) struct Context<'c> {
    pub(crate) scripts: &'c Scripts<'c>,
    pub(crate) inputs: &'c Value,
    pub(crate) own: &'c Value,
    pub(crate) runtime: &'c Value,
}

impl<'c> Context<'c> {
    /// The same with another `self`.
    pub(crate) const fn with_self(self, own: &'c Value) -> Context<'c> {
        Context { own, ..self }
    }

    /// The value of a string: that of the expression where it is one and nothing else, apart from space
    /// around it, else the string with each expression replaced by its text.
    pub(crate) fn evaluate(&self, text: &Text) -> Result<Value, RunError> {
        self.evaluate_str(text.text.trim(), &text.text)
    }

    /// As [`Context::evaluate`], but space around an expression is part of the text (Dirent `entry`).
    pub(crate) fn evaluate_exactly(&self, text: &Text) -> Result<Value, RunError> {
        self.evaluate_str(&text.text, &text.text)
    }

    /// The value of a string, as text.
    pub(crate) fn text(&self, text: &Text, what: &str) -> Result<String, RunError> {
        match self.evaluate(text)? {
            Value::String(text) => Ok(text),
            other => Err(RunError::Expression {
                expression: excerpt(&text.text),
                reason: format!("{what} must be a string, not {other}"),
            }),
        }
    }

    fn evaluate_str(&self, trimmed: &str, whole: &str) -> Result<Value, RunError> {
        if !is_dynamic(whole) {
            return Ok(Value::String(whole.to_owned()));
        }
        let fault = |reason: String| RunError::Expression {
            expression: excerpt(whole),
            reason,
        };
        let pieces = scan(trimmed).map_err(fault)?;
        if let [Piece::Expression(_) | Piece::Body(_)] = pieces.as_slice() {
            return self.piece(&pieces[0]).map_err(fault);
        }
        let mut joined = String::new();
        for piece in &pieces {
            match piece {
                Piece::Literal(text) => joined.push_str(text),
                piece => match self.piece(piece).map_err(fault)? {
                    Value::String(text) => joined.push_str(&text),
                    other => joined.push_str(&dump(&other)),
                },
            }
        }
        Ok(Value::String(joined))
    }

    fn piece(&self, piece: &Piece<'_>) -> Result<Value, String> {
        let body = match piece {
            Piece::Literal(text) => return Ok(Value::String(text.clone())),
            Piece::Expression(code) => {
                if let Some(reference) = ParameterReference::parse(code) {
                    return self.look_up(&reference);
                }
                if code.trim() == "null" {
                    return Ok(Value::Null);
                }
                Cow::Owned(format!("return (\n{code}\n);"))
            }
            Piece::Body(body) => Cow::Borrowed(*body),
        };
        let Some(library) = &self.scripts.library else {
            return Err(
                "it is no parameter reference, and InlineJavascriptRequirement is missing"
                    .to_owned(),
            );
        };
        let script = Script {
            body,
            library: Cow::Borrowed(library),
            inputs: Cow::Borrowed(self.inputs),
            own: Cow::Borrowed(self.own),
            runtime: Cow::Borrowed(self.runtime),
        };
        self.scripts
            .evaluator
            .evaluate(&script)
            .map_err(|error| error.to_string())
    }

    /// A reference never starts the interpreter.
    fn look_up(&self, reference: &ParameterReference) -> Result<Value, String> {
        let root = match reference.root {
            Root::Inputs => self.inputs,
            Root::Own => self.own,
            Root::Runtime => self.runtime,
        };
        reference.look_up(root, self.scripts.library.is_some())
    }
}

/// JSON with sorted keys and a space after `,` and `:`, which is how the reference runner writes values
/// into strings; the conformance suite compares the bytes.
pub(crate) fn dump(value: &Value) -> String {
    let mut text = String::new();
    write_dump(value, &mut text);
    text
}

fn write_dump(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push_str(", ");
                }
                write_dump(item, text);
            }
            text.push(']');
        }
        Value::Object(map) => {
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (index, (key, item)) in fields.into_iter().enumerate() {
                if index > 0 {
                    text.push_str(", ");
                }
                let _ = write!(text, "{}: ", Value::from(key.as_str()));
                write_dump(item, text);
            }
            text.push('}');
        }
        Value::Number(number) => text.push_str(&decimal(number)),
        scalar => {
            let _ = write!(text, "{scalar}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::EvaluationError;
    use serde_json::json;

    struct Nobody;
    impl Evaluator for Nobody {
        fn evaluate(&self, _: &Script<'_>) -> Result<Value, EvaluationError> {
            Err(EvaluationError::Interpreter("not wanted".to_owned()))
        }
    }

    fn evaluate(text: &str) -> Result<Value, String> {
        let scripts = Scripts {
            evaluator: &Nobody,
            library: Some(Cow::Borrowed(&[])),
        };
        let inputs =
            json!({"f": {"path": "/a b"}, "n": 1.5, "s": "x", "list": [{"b": 1, "a": null}]});
        let context = Context {
            scripts: &scripts,
            inputs: &inputs,
            own: &Value::Null,
            runtime: &Value::Null,
        };
        let text = Text {
            text: text.to_owned(),
            ..Text::default()
        };
        context.evaluate(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn references_are_looked_up_without_the_interpreter() {
        assert_eq!(evaluate(" $(inputs.list[0].b) "), Ok(json!(1)));
        assert_eq!(evaluate("$(inputs.missing)"), Ok(Value::Null));
        assert!(
            evaluate("$(inputs.n + 1)")
                .unwrap_err()
                .contains("not wanted")
        );
    }

    #[test]
    fn values_in_text_are_written_as_json_with_sorted_keys() {
        assert_eq!(
            evaluate("$(inputs.f.path): $(inputs.list) $(inputs.n)$(inputs.s)"),
            Ok(json!("/a b: [{\"a\": null, \"b\": 1}] 1.5x"))
        );
    }

    #[test]
    fn a_string_without_expressions_keeps_its_backslashes() {
        assert_eq!(evaluate(r"a\\b\n"), Ok(json!(r"a\\b\n")));
    }
}
