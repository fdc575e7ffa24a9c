//! What a document may cost its reader.

/// Limits on a document. The defaults let a packed workflow of 5,000 steps through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file.
    pub bytes: usize,
    /// Levels of nesting.
    pub depth: usize,
    /// Values in one file, with each alias counted as often as it is used.
    pub nodes: usize,
    /// Files that one document may draw in by `$import`, `$include` and `run`.
    pub files: usize,
    /// Bytes of all files together.
    pub total_bytes: usize,
    /// Steps of all workflows in the document together, and of a run of it, where each subworkflow counts as often as
    /// it is run.
    pub steps: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 10_000_000,
            depth: 100,
            nodes: 1_000_000,
            files: 1_000,
            total_bytes: 50_000_000,
            steps: 20_000,
        }
    }
}
