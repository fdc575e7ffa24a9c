//! What can go wrong.

use oc_cwl::Finding;
use oc_kernel::{Classify, Kind, NameError, OrgId, PageTokenError, Revision};
use oc_store::StoreError;

/// Why a use case of this service failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A name or version that cannot be one.
    #[error("the {what}: {source}")]
    Name {
        /// `name` or `version`.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
    /// An organisation's id that is none.
    #[error("`{0}` names no organisation")]
    Organisation(String),
    /// A document that cannot run, with every fault found.
    #[error("the CWL document has {}", faults(.findings))]
    Faulty {
        /// Malformed or against a rule.
        kind: Kind,
        /// What is wrong, and where.
        findings: Vec<Finding>,
    },
    /// No such service.
    #[error("there is no service `{name}` of version `{version}`")]
    Unknown {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
    },
    /// The pair is taken.
    #[error("there is a service `{name}` of version `{version}` already")]
    Exists {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
    },
    /// It was changed since it was read.
    #[error("the service was changed meanwhile: revision {seen} was seen, it is at {found}")]
    Stale {
        /// The revision the caller saw.
        seen: Revision,
        /// The revision it has.
        found: Revision,
    },
    /// Too many pictures, or texts that are too long.
    #[error("{what} may have {limit}, this has {found}")]
    TooMuch {
        /// What is limited.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// What was given.
        found: usize,
    },
    /// A page token that is not ours.
    #[error(transparent)]
    Page(#[from] PageTokenError),
    /// The store's.
    #[error("the store cannot do it")]
    Store(#[from] StoreError),
}

/// How many faults; each stands among the findings, with its place.
fn faults(findings: &[Finding]) -> String {
    match findings.len() {
        1 => "a fault".to_owned(),
        many => format!("{many} faults"),
    }
}

impl RegistryError {
    pub(crate) fn organisation(
        text: &str,
    ) -> impl FnOnce(<OrgId as std::str::FromStr>::Err) -> Self {
        let text = text.chars().take(80).collect();
        move |_| RegistryError::Organisation(text)
    }
}

impl Classify for RegistryError {
    fn kind(&self) -> Kind {
        match self {
            RegistryError::Name { .. }
            | RegistryError::Organisation(_)
            | RegistryError::TooMuch { .. } => Kind::Invalid,
            RegistryError::Faulty { kind, .. } => *kind,
            RegistryError::Unknown { .. } => Kind::NotFound,
            RegistryError::Exists { .. } => Kind::AlreadyExists,
            RegistryError::Stale { .. } => Kind::Stale,
            RegistryError::Page(_) => Kind::Malformed,
            RegistryError::Store(error) => error.kind(),
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            RegistryError::Faulty { .. } => {
                Some("mend the document; `opencloud cwl check` shows the same faults".to_owned())
            }
            RegistryError::Exists { .. } => {
                Some("register it under a new version, or update this one".to_owned())
            }
            RegistryError::Stale { .. } => Some("read it again and repeat the change".to_owned()),
            RegistryError::Store(error) => error.advice(),
            _ => None,
        }
    }
}
