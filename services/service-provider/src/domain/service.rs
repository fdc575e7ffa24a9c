//! One processing service.

use oc_cwl::{Document, Limits, Severity};
use oc_kernel::{Classify as _, Kind, Name, OrgId};
use serde::{Deserialize, Serialize};

use super::error::RegistryError;

/// Pictures of one service.
const MOST_IMAGES: usize = 16;
/// Longest description or picture URL in bytes.
const LONGEST_TEXT: usize = 8 << 10;

/// Where a service's listing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Listing {
    /// The catalogue does not have this form yet.
    Pending,
    /// The catalogue has it.
    Listed,
    /// Deleted here; the catalogue does not know yet.
    Withdrawing,
}

/// A processing service. (name, version) is its identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Service {
    pub(crate) name: Name,
    pub(crate) version: Name,
    pub(crate) description: String,
    /// The document as it was given.
    pub(crate) cwl: String,
    pub(crate) images: Vec<String>,
    pub(crate) visible_to: Vec<OrgId>,
    pub(crate) created_at_ms: u64,
    pub(crate) updated_at_ms: u64,
    pub(crate) registered_at_ms: u64,
    pub(crate) listing: Listing,
}

/// What a person gives for a service; texts are checked, names and the document are proven.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) name: Name,
    pub(crate) version: Name,
    pub(crate) description: String,
    pub(crate) cwl: String,
    pub(crate) images: Vec<String>,
    pub(crate) visible_to: Vec<OrgId>,
}

/// What the catalogue shows of a document besides its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outline {
    pub(crate) class: &'static str,
    pub(crate) label: Option<String>,
    /// Name and CWL type.
    pub(crate) inputs: Vec<(String, String)>,
    /// Name and CWL type.
    pub(crate) outputs: Vec<(String, String)>,
}

impl Service {
    /// The key in the store.
    pub(crate) fn key(&self) -> String {
        key(&self.name, &self.version)
    }

    /// The id of its listing.
    pub(crate) fn listing_id(&self) -> String {
        format!("processing.{}.{}", self.name, self.version)
    }
}

/// The key in the store.
pub(crate) fn key(name: &Name, version: &Name) -> String {
    format!("{name}/{version}")
}

impl Draft {
    /// Checks the texts and the document.
    ///
    /// # Errors
    /// What is wrong, with line and column where it is the document.
    pub(crate) fn check(&self) -> Result<(), RegistryError> {
        let too_much = |what, limit, found| RegistryError::TooMuch { what, limit, found };
        if self.images.len() > MOST_IMAGES {
            return Err(too_much(
                "a service's pictures",
                MOST_IMAGES,
                self.images.len(),
            ));
        }
        let texts = self.images.iter().chain([&self.description]);
        if let Some(longest) = texts.map(String::len).max().filter(|l| *l > LONGEST_TEXT) {
            return Err(too_much(
                "a description or a picture's URL in bytes",
                LONGEST_TEXT,
                longest,
            ));
        }
        outline(&self.cwl).map(|_| ())
    }
}

/// Loads and checks a document.
///
/// # Errors
/// Every fault of it, with line and column.
pub(crate) fn outline(cwl: &str) -> Result<Outline, RegistryError> {
    let document = Document::parse(cwl, "document", &Limits::default()).map_err(|error| {
        RegistryError::Faulty {
            kind: error.kind(),
            findings: error.into_findings(),
        }
    })?;
    let mut findings = document.check();
    findings.retain(|finding| finding.severity == Severity::Error);
    if !findings.is_empty() {
        return Err(RegistryError::Faulty {
            kind: Kind::Invalid,
            findings,
        });
    }
    let process = document.process();
    let inputs = process
        .inputs
        .iter()
        .map(|input| (input.id.clone(), input.type_.to_string()));
    let outputs = process
        .outputs
        .iter()
        .map(|output| (output.id.clone(), output.type_.to_string()));
    Ok(Outline {
        class: process.class(),
        label: process.label.clone(),
        inputs: inputs.collect(),
        outputs: outputs.collect(),
    })
}
