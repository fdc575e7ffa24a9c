//! A workflow as people read it: what it takes, what it gives, what it runs; and which inputs of a request are at
//! fault.

use std::path::Path;

use oc_cwl::{Body, Document, Limits, Reference, Step, Type};
use oc_proto::pipeline::v1::{InputValue, RunRequest, input_value};
use serde::Serialize;
use serde_json::{Map, Value};

use super::Outcome;
use super::output::Output;

/// Longest default and label that are shown, in characters.
const LONGEST: usize = 80;

/// The document in the body of a listing, where it has one.
pub(crate) fn document(body_json: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body_json).ok()?;
    Some(body.get("cwl")?.as_str()?.to_owned())
}

/// A document that can be read.
pub(crate) struct Outline(Document);

/// An input or output.
#[derive(Debug, Serialize)]
struct Parameter {
    name: String,
    kind: String,
    default: String,
    about: String,
}

impl Outline {
    /// None for a text that is no document.
    pub(crate) fn of(cwl: &str) -> Option<Self> {
        let document = Document::parse(cwl, "workflow", &Limits::default());
        document.ok().map(Self)
    }

    fn inputs(&self) -> Vec<Parameter> {
        let inputs = self.0.process().inputs.iter();
        let parameters = inputs.map(|input| Parameter {
            name: input.id.clone(),
            kind: input.type_.to_string(),
            default: input.default.as_ref().map(default).unwrap_or_default(),
            about: about(&[&input.label, &input.doc]),
        });
        parameters.collect()
    }

    fn outputs(&self) -> Vec<Parameter> {
        let outputs = self.0.process().outputs.iter();
        let parameters = outputs.map(|output| Parameter {
            name: output.id.clone(),
            kind: output.type_.to_string(),
            default: String::new(),
            about: about(&[&output.label, &output.doc]),
        });
        parameters.collect()
    }

    /// The inputs that are no files, each with its type.
    pub(crate) fn values(&self) -> Vec<String> {
        let inputs = self.0.process().inputs.iter();
        let values = inputs.filter(|input| !takes_files_only(&input.type_));
        let values = values.map(|input| format!("{} ({})", input.id, input.type_));
        values.collect()
    }

    /// Each input on a line.
    pub(crate) fn takes(&self) -> Vec<String> {
        let inputs = self.inputs();
        let left = |input: &Parameter| match input.default.as_str() {
            "" => format!("{} {}", input.name, input.kind),
            default => format!("{} {} = {default}", input.name, input.kind),
        };
        let widths = inputs.iter().map(|input| left(input).chars().count());
        let width = widths.max().unwrap_or(0);
        let lines = inputs.iter().map(|input| {
            let line = format!("{:width$}  {}", left(input), input.about);
            line.trim_end().to_owned()
        });
        lines.collect()
    }

    /// Tables of inputs, outputs and steps.
    pub(crate) fn show(&self, output: Output) -> Outcome {
        anstream::println!();
        let heads = ["INPUT", "TYPE", "DEFAULT", "ABOUT"];
        output.list(&self.inputs(), "no inputs", heads, |it| {
            [&it.name, &it.kind, &it.default, &it.about].map(Clone::clone)
        })?;
        anstream::println!();
        let heads = ["OUTPUT", "TYPE", "ABOUT"];
        output.list(&self.outputs(), "no outputs", heads, |it| {
            [&it.name, &it.kind, &it.about].map(Clone::clone)
        })?;
        let Some(workflow) = self.0.process().workflow() else {
            return Ok(());
        };
        anstream::println!();
        let steps: Vec<_> = workflow.steps.iter().map(step).collect();
        output.list(&steps, "no steps", ["STEP", "READS", "RUNS"], Clone::clone)
    }

    /// What to do where inputs of a request are missing, unknown, or of another type; nothing where they seem right.
    pub(crate) fn advice(&self, request: &RunRequest) -> Option<String> {
        let process = self.0.process();
        let given = |name: &str| request.inputs.get(name);
        for input in &process.inputs {
            let text = given(&input.id)
                .and_then(literal)
                .filter(|it| it.is_string());
            if let Some(Value::String(text)) = text
                && takes_files_only(&input.type_)
            {
                let name = &input.id;
                return Some(match Path::new(&text).exists() {
                    true => {
                        format!("`{text}` lies on this machine: --input {name}=@{text} uploads it")
                    }
                    false => format!(
                        "write --input {name}=@PATH for a file of this machine, or {name}=dataset:OWNER/LISTING#ASSET"
                    ),
                });
            }
        }
        let values = request.inputs.iter();
        let values: Map<String, Value> = values
            .filter_map(|(name, input)| Some((name.clone(), literal(input)?)))
            .collect();
        let faulty = |name: &String| {
            let begin = format!("input `{name}`: ");
            let faults = self.0.check_inputs(&values);
            faults.iter().any(|fault| fault.starts_with(&begin))
        };
        let missing = process.inputs.iter();
        let missing = missing.filter(|input| input.is_required() && given(&input.id).is_none());
        let at_fault = missing.count() > 0
            || request
                .inputs
                .keys()
                .any(|name| process.input(name).is_none())
            || values.keys().any(faulty);
        at_fault.then(|| {
            "give each as --input NAME=VALUE, a file as NAME=@PATH, or all in a file with --inputs".to_owned()
        })
    }
}

fn literal(input: &InputValue) -> Option<Value> {
    match input.value.as_ref()? {
        input_value::Value::Json(text) => serde_json::from_str(text).ok(),
        _ => None,
    }
}

/// True where a text is no value of the type, and a file is.
fn takes_files_only(type_: &Type) -> bool {
    type_.holds_files()
        && !type_
            .members()
            .iter()
            .any(|member| matches!(member, Type::String | Type::Any | Type::Enum(_)))
}

fn default(value: &Value) -> String {
    cut(&value.to_string())
}

/// The first line of the first text there is.
fn about(texts: &[&Option<String>]) -> String {
    let mut texts = texts.iter().filter_map(|text| text.as_deref());
    let text = texts.next().unwrap_or_default();
    cut(text.trim().lines().next().unwrap_or_default())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

/// A step, what it reads from, and what it runs.
fn step(step: &Step) -> [String; 3] {
    let sources = step.inputs.iter().flat_map(|input| &input.links.sources);
    let mut reads: Vec<_> = sources
        .map(|source| match &source.reference {
            Reference::Input(name) => name.clone(),
            Reference::Step { step, .. } => step.clone(),
        })
        .collect();
    reads.dedup();
    let runs = about(&[&step.label, &step.run.label, &step.doc, &step.run.doc]);
    let runs = match &step.run.body {
        _ if !runs.is_empty() => runs,
        Body::Tool(tool) => cut(&tool.base_command.join(" ")),
        _ => step.run.class().to_owned(),
    };
    [step.id.clone(), reads.join(", "), runs]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOL: &str = "{cwlVersion: v1.2, class: CommandLineTool, baseCommand: cat, outputs: [], inputs: \
        {texts: {type: 'File[]', label: What is read}, most: {type: int, default: 7}, mark: string?}}";

    fn asked(inputs: &[(&str, &str)]) -> RunRequest {
        let inputs = inputs.iter().map(|(name, json)| {
            let value = Some(input_value::Value::Json((*json).to_owned()));
            ((*name).to_owned(), InputValue { value })
        });
        RunRequest {
            inputs: inputs.collect(),
            ..RunRequest::default()
        }
    }

    #[test]
    fn each_input_is_told_with_its_type_default_and_label() {
        let lines = Outline::of(TOOL).unwrap().takes();
        assert_eq!(
            lines,
            ["texts File[]  What is read", "most int = 7", "mark string?"]
        );
    }

    #[test]
    fn inputs_that_are_no_files_are_told_with_their_types() {
        let values = Outline::of(TOOL).unwrap().values();
        assert_eq!(values, ["most (int)", "mark (string?)"]);
    }

    #[test]
    fn inputs_at_fault_are_advised_on_and_others_not() {
        let outline = Outline::of(TOOL).unwrap();
        let advice = |inputs: &[(&str, &str)]| outline.advice(&asked(inputs)).unwrap_or_default();
        let file = r#"[{"class": "File", "contents": ""}]"#;
        assert_eq!(advice(&[("texts", file), ("most", "1")]), "");
        assert!(advice(&[]).contains("--inputs"));
        assert!(advice(&[("texts", file), ("more", "1")]).contains("--inputs"));
        assert!(advice(&[("texts", file), ("most", "\"x\"")]).contains("--inputs"));
        assert!(advice(&[("texts", "\"nowhere\"")]).contains("texts=@PATH"));
        let here = tempfile::NamedTempFile::new().unwrap();
        let here = here.path().display().to_string();
        let typed = serde_json::json!(here).to_string();
        assert!(advice(&[("texts", &typed)]).contains(&format!("texts=@{here} uploads it")));
    }
}
