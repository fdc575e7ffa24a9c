//! What an operator may set.

use std::path::PathBuf;

use oc_kernel::DisplayName;
use serde::{Deserialize, Serialize};

/// Settings of discovery.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The organisation's name for people; shown to partners, not proven. Kept: a start without one goes on with
    /// the last.
    pub name: Option<DisplayName>,
    /// Folder of the organisation's keys; made at the first start.
    pub keys: PathBuf,
    /// File of the root key, where it is kept apart from the others; `root.json` in `keys` when empty.
    pub root_key: Option<PathBuf>,
    /// Where the networks listen.
    pub swarm: SwarmSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: None,
            keys: PathBuf::from("keys"),
            root_key: None,
            swarm: SwarmSettings::default(),
        }
    }
}

/// Where networks listen: each takes the next free port.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SwarmSettings {
    /// The address to listen on, `0.0.0.0` for all.
    pub host: std::net::IpAddr,
    /// The first port to try; 0 lets the system choose.
    pub first_port: u16,
    /// The last port to try.
    pub last_port: u16,
    /// Addresses to name to others beside those listened on, as multiaddresses, for nodes behind a forwarded port:
    /// `/dns4/north.example.org`, or `/dns4/north.example.org/tcp/31001` where its port is not the one listened on.
    pub announce: Vec<String>,
    /// Whether partners learn `announce` alone and none of this machine's own addresses.
    pub announce_only: bool,
}

impl Default for SwarmSettings {
    fn default() -> Self {
        Self {
            host: std::net::Ipv4Addr::UNSPECIFIED.into(),
            first_port: 4001,
            last_port: 4005,
            announce: Vec::new(),
            announce_only: false,
        }
    }
}
