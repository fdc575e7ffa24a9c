//! What an operator may set.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The settings of accounting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where its documents lie when it runs as a process of its own.
    pub store: PathBuf,
    /// Where its usage records lie when it runs as a process of its own.
    pub ledger: PathBuf,
    /// The currency in which our own work is listed, at no charge.
    pub currency: String,
    /// How often books that are still unsettled are settled again, in seconds; 0 for only when somebody asks.
    pub settle_seconds: u64,
    /// How often the provider of a grant in force is asked whether its log went on without us, in seconds: a
    /// correction makes no other noise. That of a grant that is over is asked once in sixty such times.
    pub look_seconds: u64,
    /// After a restore of its store from a backup: a number higher than any before, such as the time in ms. Books
    /// that we provide are then compared with their consumers' copies before anything is added to them.
    pub epoch: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            store: PathBuf::from("accounting.db"),
            ledger: PathBuf::from("ledger.db"),
            currency: "EUR".to_owned(),
            settle_seconds: 10,
            look_seconds: 60,
            epoch: 0,
        }
    }
}
