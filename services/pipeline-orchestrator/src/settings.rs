//! Settings of the orchestrator.

use oc_workflow::run::Policy;
use serde::{Deserialize, Serialize};

/// Settings of the orchestrator; every one has a default.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long a run waits for what, and how often it tries.
    pub policy: Policy,
    /// Largest CWL document, in bytes.
    pub document_bytes: usize,
    /// Seconds that a partner gets to say what is free and to count images while a run is planned.
    pub planning_seconds: u64,
    /// Seconds after which a plan that is not made yet is given up.
    pub plan_seconds: u64,
    /// Bytes that all outputs of one attempt may have in our own storage.
    pub attempt_output_bytes: u64,
    /// Runs at work at the same time; further ones are refused.
    pub runs: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            document_bytes: 4 << 20,
            planning_seconds: 5,
            plan_seconds: 25,
            attempt_output_bytes: 64 << 30,
            runs: 256,
        }
    }
}
