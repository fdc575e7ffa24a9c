//! Files of this machine that a document names as defaults: they do not go with it to a node.

use oc_cwl::{Document, Process, StepInput};
use serde_json::Value;

use super::CommandError;
use super::local_files::first;
use super::typed::quoted;

/// What is said of a document that names files of this machine, as a default does: they do not go with it.
pub(crate) fn left_behind(document: &Document) -> Option<String> {
    let files = document.named_files();
    let paths = files.iter().filter_map(|uri| oc_cwl::path_of_uri(uri));
    let paths: Vec<_> = paths.map(|path| path.display().to_string()).collect();
    (!paths.is_empty()).then(|| {
        format!(
            "the document names {}, which is not sent with it: give the input by --input NAME=@PATH",
            paths.join(", ")
        )
    })
}

/// An error where a run would use a file of this machine as a default, which does not go with the document.
pub(crate) fn refuse(
    document: &Document,
    is_given: impl Fn(&str) -> bool,
) -> Result<(), CommandError> {
    let mut used = Vec::new();
    used_defaults(document.process(), &is_given, &mut used);
    let mut used = used
        .into_iter()
        .filter_map(|(step, input, default)| Some((step, input, first(default, &|_| true)?)));
    let Some((step, input, path)) = used.next() else {
        return Ok(());
    };
    let (path, input) = (path.display(), quoted(input));
    Err(CommandError::Input(match step {
        None => format!(
            "the default of input `{input}` is {path}, which is not sent with the document: give it by --input \
             {input}=@{path}, or another file"
        ),
        Some(step) => format!(
            "step `{step}` reads {path}, the default of its input `{input}`, which is not sent with the document: make \
             it an input of the workflow, and give it by --input NAME=@{path}"
        ),
    }))
}

/// A default that a run reads: in which step, of which input, and what it is.
type Default<'a> = (Option<&'a str>, &'a str, &'a Value);

/// The defaults that a run reads: of inputs that are not given, and of those of steps that nothing is linked to.
fn used_defaults<'a>(
    process: &'a Process,
    is_given: &dyn Fn(&str) -> bool,
    used: &mut Vec<Default<'a>>,
) {
    let open = process.inputs.iter().filter(|it| !is_given(&it.id));
    used.extend(open.filter_map(|it| Some((None, it.id.as_str(), it.default.as_ref()?))));
    for step in process.workflow().into_iter().flat_map(|it| &it.steps) {
        let begin = used.len();
        let unlinked = |it: &&StepInput| it.links.sources.is_empty() && it.value_from.is_none();
        let own = step.inputs.iter().filter(unlinked);
        used.extend(own.filter_map(|it| Some((None, it.id.as_str(), it.default.as_ref()?))));
        let is_given = |name: &str| step.inputs.iter().any(|it| it.id == name);
        used_defaults(&step.run, &is_given, used);
        for (place, ..) in &mut used[begin..] {
            place.get_or_insert(step.id.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::document;
    use super::*;

    const TOOL: &str = "cwlVersion: v1.2\nclass: Operation\noutputs: []\n\
        inputs: {f: {type: File, default: {class: File, path: near.txt}}}\n";
    const WORKFLOW: &str = "cwlVersion: v1.2\nclass: Workflow\ninputs: []\noutputs: []\n\
        steps: {s: {in: [], out: [], run: tool.cwl}}\n";

    #[test]
    fn a_default_of_this_machine_is_refused_where_a_run_would_read_it() {
        let base = tempfile::tempdir().unwrap();
        let path = |name: &str| base.path().join(name);
        std::fs::write(path("tool.cwl"), TOOL).unwrap();
        let judged = |name: &str, given: &[&str]| {
            let document = document::open(&path(name)).unwrap();
            let refused = refuse(&document, |input| given.contains(&input));
            refused.err().map_or_else(String::new, |it| it.to_string())
        };
        let refused = judged("tool.cwl", &[]);
        assert!(
            refused.contains("--input f=@") && refused.contains("near.txt"),
            "{refused}"
        );
        assert_eq!(judged("tool.cwl", &["f"]), "");
        std::fs::write(path("wf.cwl"), WORKFLOW).unwrap();
        let refused = judged("wf.cwl", &[]);
        assert!(refused.contains("step `s` reads"), "{refused}");
        let linked = WORKFLOW
            .replace("inputs: []", "inputs: {g: File}")
            .replace("in: []", "in: {f: g}");
        std::fs::write(path("wf.cwl"), linked).unwrap();
        assert_eq!(judged("wf.cwl", &["g"]), "");
    }

    #[test]
    fn files_that_a_document_names_as_defaults_are_told() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("wf.cwl");
        std::fs::write(&path, TOOL).unwrap();
        let note = left_behind(&document::open(&path).unwrap()).unwrap();
        assert!(note.contains("near.txt, which is not sent"), "{note}");
        let without = TOOL.replace("default: {class: File, path: near.txt}", "doc: a text");
        std::fs::write(&path, without).unwrap();
        assert_eq!(left_behind(&document::open(&path).unwrap()), None);
    }
}
