//! Which document a list of tools means, so that whoever submits one and whoever admits it come to the same.
//!
//! What may read somebody's data is a whole document: its steps, links, requirements and expressions together
//! decide what becomes of the data. Another arrangement of the same tools is another document.

use oc_cwl::{Body, Document, FragmentError, Limits, Process};
use oc_kernel::Digest;
use serde_json::Value;

use crate::canonical;

/// The document that is submitted where all steps of a workflow run together: one output for each output of a
/// step that leaves, named after the step.
///
/// # Errors
/// When it has no steps.
pub fn whole(document: Document) -> Result<Document, FragmentError> {
    let document = document.into_workflow();
    let workflow = document.process().workflow();
    let steps: Vec<String> = workflow
        .map(|workflow| workflow.steps.iter().map(|step| step.id.clone()).collect())
        .unwrap_or_default();
    Ok(document.fragment(steps)?.document)
}

/// The digest of a document in its canonical form, without the id, which changes with the place it is put.
pub fn document_digest(document: &Document) -> Digest {
    digest(document.to_value())
}

/// The digest of the one tool that a submitted document is: the same wherever the tool was wrapped alone. None for
/// a document that adds anything to a tool.
pub fn only_tool(document: &Document) -> Option<Digest> {
    let [step] = document.process().workflow()?.steps.as_slice() else {
        return None;
    };
    let tool = alone(&step.run)?;
    let plain = whole(tool.clone()).ok()?;
    (document_digest(&plain) == document_digest(document)).then(|| document_digest(&tool))
}

/// Whether a value holds a File or Directory by its content (CWL v1.2, File `contents`, Directory `listing`): what a
/// listed tool reads beside the data, its consumer could choose so that the results tell them.
pub fn written_in(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().any(written_in),
        Value::Object(fields) => {
            let has = |name: &str| fields.get(name).is_some_and(|value| !value.is_null());
            let class = fields.get("class").and_then(Value::as_str);
            class == Some("File") && has("contents")
                || class == Some("Directory") && has("listing")
                || fields.values().any(written_in)
        }
        _ => false,
    }
}

/// A tool as a document of its own.
fn alone(process: &Process) -> Option<Document> {
    if matches!(process.body, Body::Workflow(_)) {
        return None;
    }
    let Value::Object(mut fields) = process.to_value() else {
        return None;
    };
    fields.insert("cwlVersion".to_owned(), "v1.2".into());
    let text = Value::Object(fields).to_string();
    Document::parse(&text, "tool", &Limits::default()).ok()
}

fn digest(mut value: Value) -> Digest {
    if let Some(fields) = value.as_object_mut() {
        fields.remove("id");
    }
    Digest::of(&canonical(&value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Document {
        Document::parse(&value.to_string(), "test", &Limits::default()).unwrap()
    }

    fn tool(command: &str) -> Value {
        json!({
            "cwlVersion": "v1.2", "class": "CommandLineTool", "id": command, "baseCommand": [command],
            "inputs": [{"id": "image", "type": "File", "inputBinding": {"position": 1}}],
            "outputs": [{"id": "made", "type": "stdout"}]
        })
    }

    fn step(id: &str, source: &str) -> Value {
        json!({"id": id, "in": [{"id": "image", "source": source}], "out": ["made"], "run": tool(id)})
    }

    /// Two tools, of which only what the second makes leaves.
    fn service() -> Value {
        json!({
            "cwlVersion": "v1.2", "class": "Workflow", "id": "service",
            "inputs": [{"id": "image", "type": "File"}],
            "outputs": [{"id": "picture", "type": "File", "outputSource": "shrink/made"}],
            "steps": [step("stitch", "image"), step("shrink", "stitch/made")]
        })
    }

    fn submitted(value: &Value) -> Digest {
        document_digest(&whole(read(value)).unwrap())
    }

    #[test]
    fn a_document_has_the_digest_of_what_is_submitted_of_it() {
        let listed = submitted(&service());
        let sent = whole(read(&service())).unwrap();
        let came = Document::parse(&sent.to_json(), "fragment", &Limits::default()).unwrap();
        assert_eq!(document_digest(&came), listed);
        let mut renamed = service();
        renamed["id"] = json!("another");
        assert_eq!(submitted(&renamed), listed);
        assert_eq!(only_tool(&came), None);
    }

    #[test]
    fn a_listed_service_is_the_same_after_the_way_to_its_owner() {
        let text = include_str!("../../../testdata/workflows/sentinel-pictures.cwl");
        let read = |text: &str| Document::parse(text, "any", &Limits::default()).unwrap();
        let listed = document_digest(&whole(read(text)).unwrap());
        // Kept with the run, cut for its site, and read there.
        let kept = read(&read(text).to_json());
        let came = read(&whole(kept).unwrap().to_json());
        assert_eq!(document_digest(&came), listed);
    }

    #[test]
    fn any_other_arrangement_of_the_same_tools_is_another_document() {
        let listed = submitted(&service());
        let changes: [fn(&mut Value); 8] = [
            |it| {
                let raw = json!({"id": "raw", "type": "File", "outputSource": "stitch/made"});
                it["outputs"].as_array_mut().unwrap().push(raw);
            },
            |it| it["steps"] = json!([step("stitch", "image"), step("shrink", "image")]),
            |it| {
                let listing = json!([{"entryname": "made", "entry": "$(inputs.image)"}]);
                let kept = json!([{"class": "InitialWorkDirRequirement", "listing": listing}]);
                it["steps"][1]["requirements"] = kept;
            },
            |it| it["requirements"] = json!([{"class": "ShellCommandRequirement"}]),
            |it| {
                let path = json!([{"class": "EnvVarRequirement", "envDef": {"PATH": "/tmp"}}]);
                it["steps"][0]["hints"] = path;
            },
            |it| {
                it["requirements"] = json!([{"class": "StepInputExpressionRequirement"}]);
                it["steps"][1]["in"][0]["valueFrom"] = json!("$(self)");
            },
            |it| it["steps"][1]["in"][0]["loadContents"] = json!(true),
            |it| it["steps"][0]["run"]["baseCommand"] = json!(["cat"]),
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let mut changed = service();
            change(&mut changed);
            assert_ne!(submitted(&changed), listed, "change {at}");
        }
    }

    #[test]
    fn one_tool_is_told_by_its_own_digest_where_nothing_is_added_to_it() {
        let listed = document_digest(&read(&tool("shrink")));
        let sent = whole(read(&tool("shrink"))).unwrap();
        assert_eq!(only_tool(&sent), Some(listed));
        let mut wrapped: Value = serde_json::from_str(&sent.to_json()).unwrap();
        wrapped["steps"][0]["requirements"] = json!([{"class": "ShellCommandRequirement"}]);
        assert_eq!(only_tool(&read(&wrapped)), None);
        let mut passed: Value = serde_json::from_str(&sent.to_json()).unwrap();
        let raw = json!({"id": "raw", "type": "File", "outputSource": "image"});
        passed["outputs"].as_array_mut().unwrap().push(raw);
        assert_eq!(only_tool(&read(&passed)), None);
    }
}
