//! The versions of the standard.

use std::fmt;

/// A version of CWL. A document says which one it is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// `v1.0`
    V1_0,
    /// `v1.1`
    V1_1,
    /// `v1.2`, which is also the version that is written.
    V1_2,
}

impl Version {
    /// The version a document names; none for others, development versions included.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "v1.0" => Some(Self::V1_0),
            "v1.1" => Some(Self::V1_1),
            "v1.2" => Some(Self::V1_2),
            _ => None,
        }
    }

    /// As a document writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "v1.0",
            Self::V1_1 => "v1.1",
            Self::V1_2 => "v1.2",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
