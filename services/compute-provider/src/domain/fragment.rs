//! What a submitted fragment is: the work its digest names, what a list of tools calls it, and what it needs of a
//! machine. It reads the document through the engine's loader, so that what is admitted is what will run.

use std::collections::{BTreeMap, BTreeSet};

use oc_cwl::{Document, Limits, Process, Requirement, RequirementKind};
use oc_kernel::{Classify, Digest, Kind};
use oc_workflow::listed;
use serde_json::Value;

/// A fragment that was read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Digest of the document and its inputs' digests: the work that is delegated.
    pub work: Digest,
    /// Something in it runs in a container and in nothing else.
    pub needs_container: bool,
    /// The digests by which a list of tools may name it: of the whole document, and of the tool where it is one
    /// and adds nothing to it ([`oc_workflow::listed`]).
    pub listed_as: BTreeSet<Digest>,
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
        let work = oc_workflow::work_digest(&value, inputs);
        let whole = listed::document_digest(&loaded);
        let listed_as = [Some(whole), listed::only_tool(&loaded)];
        let listed_as = listed_as.into_iter().flatten();
        Ok(Self {
            work,
            needs_container: needs_container(loaded.process()),
            listed_as: listed_as.collect(),
        })
    }
}

fn needs_container(process: &Process) -> bool {
    let mut steps = process.workflow().into_iter().flat_map(|it| &it.steps);
    wants_container(&process.requirements)
        || steps.any(|step| wants_container(&step.requirements) || needs_container(&step.run))
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

/// What a listed CWL document is called where it is submitted whole: nothing less and nothing else of it may read
/// the data.
///
/// # Errors
/// When it is no CWL.
pub fn listed_digest(document: &str) -> Result<Digest, FragmentError> {
    let whole = listed::whole(load(document)?)
        .map_err(|error| FragmentError::Document(error.to_string()))?;
    Ok(listed::document_digest(&whole))
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
    fn a_fragment_is_listed_as_the_whole_document_or_as_the_one_tool_that_it_is() {
        let whole = |document: &str| {
            let listed = load(document).unwrap();
            listed::whole(listed).unwrap().to_json()
        };
        let service = workflow(tool());
        let sent = Fragment::read(&whole(&service), &BTreeMap::new()).unwrap();
        assert!(sent.listed_as.contains(&listed_digest(&service).unwrap()));

        let alone = Fragment::read(&whole(&tool().to_string()), &BTreeMap::new()).unwrap();
        assert_eq!(alone.listed_as.len(), 2);
        let listed = listed_digest(&tool().to_string()).unwrap();
        assert!(alone.listed_as.contains(&listed));
        assert!(alone.listed_as.is_disjoint(&sent.listed_as));

        let mut other = tool();
        other["baseCommand"] = json!(["cat"]);
        let other = Fragment::read(&whole(&other.to_string()), &BTreeMap::new()).unwrap();
        assert!(other.listed_as.is_disjoint(&alone.listed_as));
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
