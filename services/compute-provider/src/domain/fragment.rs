//! What a submitted fragment is: the work its digest names, the tools in it, and what it needs of a
//! machine. It reads the document through the engine's loader, so that what is admitted is what will run.

use std::collections::{BTreeMap, BTreeSet};

use oc_cwl::{Body, Document, Limits, Process, Requirement, RequirementKind};
use oc_kernel::{Classify, Kind};
use oc_trust::Digest;
use oc_workflow::data::Sha256;
use serde_json::Value;

/// A fragment that was read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Digest of the document and its inputs' digests: the work that is delegated.
    pub work: Digest,
    /// Something in it runs in a container and in nothing else.
    pub needs_container: bool,
    /// Digests of the tools in it, by [`tool_digest`].
    pub tools: BTreeSet<Digest>,
}

/// Why a fragment cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// Not CWL, or CWL with faults.
    #[error("the fragment's document is faulty: {0}")]
    Document(String),
    /// Larger than is taken.
    #[error("a fragment's document may have {limit} bytes, this one has {length}")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// What came.
        length: usize,
    },
    /// It is not the work that was delegated.
    #[error("the fragment's digest is {found}, {named} was named: it was changed on its way")]
    Digest {
        /// What the document and inputs make.
        found: Digest,
        /// What was named.
        named: String,
    },
}

impl Classify for FragmentError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// Largest document of a fragment, in bytes.
pub const LARGEST_DOCUMENT: usize = 4 << 20;

impl Fragment {
    /// Reads a fragment. `inputs` has the digest of each staged input by its name.
    ///
    /// # Errors
    /// When the document is too large, no CWL, or has faults.
    pub fn read(document: &str, inputs: &BTreeMap<String, Digest>) -> Result<Self, FragmentError> {
        if document.len() > LARGEST_DOCUMENT {
            let length = document.len();
            return Err(FragmentError::TooLarge {
                limit: LARGEST_DOCUMENT,
                length,
            });
        }
        let loaded = load(document)?;
        let value: Value = serde_json::from_str(document)
            .map_err(|error| FragmentError::Document(error.to_string()))?;
        let inputs = inputs
            .iter()
            .map(|(name, digest)| (name.clone(), Sha256::from_bytes(*digest.as_bytes())))
            .collect();
        let work = oc_workflow::work_digest(&value, &inputs);
        let mut fragment = Self {
            work: Digest::from_bytes(*work.as_bytes()),
            needs_container: false,
            tools: BTreeSet::new(),
        };
        fragment.walk(loaded.process());
        Ok(fragment)
    }

    fn walk(&mut self, process: &Process) {
        self.needs_container |= wants_container(&process.requirements);
        match &process.body {
            Body::Tool(_) | Body::Expression(_) | Body::Operation => {
                self.tools.insert(tool_digest(process));
            }
            Body::Workflow(workflow) => {
                for step in &workflow.steps {
                    self.needs_container |= wants_container(&step.requirements);
                    self.walk(&step.run);
                }
            }
        }
    }
}

fn load(document: &str) -> Result<Document, FragmentError> {
    let loaded = Document::parse(document, "fragment", &Limits::default())
        .map_err(|error| FragmentError::Document(error.to_string()))?;
    let fault = loaded
        .check()
        .into_iter()
        .find(|f| f.severity == oc_cwl::Severity::Error);
    match fault {
        Some(finding) => Err(FragmentError::Document(finding.to_string())),
        None => Ok(loaded),
    }
}

fn wants_container(requirements: &[Requirement]) -> bool {
    requirements
        .iter()
        .any(|r| matches!(r.kind, RequirementKind::Docker(_)))
}

/// The digest of one tool: of its canonical form as a document of its own, without the id, which changes
/// with the place it is put.
pub fn tool_digest(process: &Process) -> Digest {
    let mut value = serde_json::Map::from_iter([("cwlVersion".to_owned(), Value::from("v1.2"))]);
    if let Value::Object(mut fields) = process.to_value() {
        fields.remove("id");
        value.append(&mut fields);
    }
    Digest::of(&oc_workflow::canonical(&Value::Object(value)))
}

/// The digests of all tools in a listed CWL document.
///
/// # Errors
/// When it is no CWL.
pub fn tools_of(document: &str) -> Result<BTreeSet<Digest>, FragmentError> {
    let loaded = load(document)?;
    let mut found = Fragment {
        work: Digest::of(&[]),
        needs_container: false,
        tools: BTreeSet::new(),
    };
    found.walk(loaded.process());
    Ok(found.tools)
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn tool() -> Value {
        json!({
            "cwlVersion": "v1.2", "class": "CommandLineTool", "id": "echo",
            "baseCommand": ["echo"],
            "inputs": [{"id": "text", "type": "string", "inputBinding": {"position": 1}}],
            "outputs": [{"id": "said", "type": "stdout"}],
            "stdout": "said.txt"
        })
    }

    pub(crate) fn workflow(tool: Value) -> String {
        json!({
            "cwlVersion": "v1.2", "class": "Workflow", "id": "main",
            "inputs": [{"id": "text", "type": "string"}],
            "outputs": [{"id": "said", "type": "File", "outputSource": "say/said"}],
            "steps": [{"id": "say", "in": [{"id": "text", "source": "text"}], "out": ["said"], "run": tool}]
        })
        .to_string()
    }

    #[test]
    fn a_tool_has_the_same_digest_alone_and_inside_a_workflow() {
        let alone = tools_of(&tool().to_string()).unwrap();
        let inside = Fragment::read(&workflow(tool()), &BTreeMap::new()).unwrap();
        assert_eq!(alone, inside.tools);
        let mut other = tool();
        other["baseCommand"] = json!(["cat"]);
        assert_ne!(tools_of(&other.to_string()).unwrap(), alone);
    }

    #[test]
    fn a_container_under_requirements_is_needed_and_under_hints_is_not() {
        let docker = json!([{"class": "DockerRequirement", "dockerPull": "debian:12"}]);
        let mut hinted = tool();
        hinted["hints"] = docker.clone();
        assert!(
            !Fragment::read(&workflow(hinted), &BTreeMap::new())
                .unwrap()
                .needs_container
        );
        let mut required = tool();
        required["requirements"] = docker;
        assert!(
            Fragment::read(&workflow(required), &BTreeMap::new())
                .unwrap()
                .needs_container
        );
    }

    #[test]
    fn the_work_changes_with_the_document_and_with_each_input() {
        let inputs = BTreeMap::from([("a".to_owned(), Digest::of(b"1"))]);
        let others = BTreeMap::from([("a".to_owned(), Digest::of(b"2"))]);
        let work = |inputs: &BTreeMap<String, Digest>| {
            Fragment::read(&workflow(tool()), inputs).unwrap().work
        };
        assert_eq!(work(&inputs), work(&inputs.clone()));
        assert_ne!(work(&inputs), work(&others));
    }

    #[test]
    fn a_faulty_document_is_refused_with_its_place() {
        let broken = workflow(tool()).replace("say/said", "say/nothing");
        let error = Fragment::read(&broken, &BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("fragment:1:"), "{error}");
        assert!(Fragment::read("{}", &BTreeMap::new()).is_err());
        let long = " ".repeat(LARGEST_DOCUMENT + 1);
        let error = Fragment::read(&long, &BTreeMap::new()).unwrap_err();
        assert!(matches!(error, FragmentError::TooLarge { .. }));
    }
}
