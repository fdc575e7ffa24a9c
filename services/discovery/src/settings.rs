//! What an operator may set.

use std::path::PathBuf;

use oc_kernel::DisplayName;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// Settings of discovery.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The organisation's name for people; shown to partners, not proven. Kept: a start without one goes on with
    /// the last.
    #[serde(deserialize_with = "name_of_ours")]
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

/// Partners could take a name with letters of two scripts for another's, so we give ourselves none.
fn name_of_ours<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DisplayName>, D::Error> {
    let name = Option::<DisplayName>::deserialize(deserializer)?;
    if let Some(name) = &name {
        name.check_scripts().map_err(D::Error::custom)?;
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_of_ours_with_letters_of_two_scripts_is_refused() {
        let settings = |name: &str| serde_json::from_value::<Settings>(json!({ "name": name }));
        let refused = settings("S\u{43e}uth").unwrap_err().to_string();
        assert!(
            refused.contains("mixes letters of two scripts"),
            "{refused}"
        );
        assert!(settings("South").unwrap().name.is_some());
        let without = serde_json::from_value::<Settings>(json!({}));
        assert!(without.unwrap().name.is_none());
    }
}
