//! Expressions in texts: the scanner finds where each ends, or says where one is not closed. No script is run.

use oc_cwl::{Document, Limits};
use serde_json::json;

pub(crate) fn take(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let tool = json!({
        "cwlVersion": "v1.2", "class": "CommandLineTool", "baseCommand": ["echo"],
        "requirements": [
            {"class": "InlineJavascriptRequirement"},
            {"class": "EnvVarRequirement", "envDef": {"WORD": text}},
            {"class": "InitialWorkDirRequirement", "listing": [{"entryname": "x", "entry": text}]},
            {"class": "ResourceRequirement", "coresMin": text},
        ],
        "arguments": [{"position": 1, "valueFrom": text}],
        "inputs": {"word": {"type": "string", "inputBinding": {"valueFrom": text}}},
        "outputs": {"out": {"type": "string", "outputBinding": {"glob": text, "outputEval": text}}},
    });
    let Ok(document) = Document::parse(&tool.to_string(), "fuzz", &Limits::default()) else {
        return false;
    };
    document.check().is_empty()
}

pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("reference", b"$(inputs.word)".to_vec()),
        ("script", b"${ return inputs.word + \"}\"; }".to_vec()),
        (
            "text",
            b"a \\$(b) $(inputs['word'])-$(inputs.word.length)".to_vec(),
        ),
    ]
}
