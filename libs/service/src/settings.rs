//! Settings: defaults in the type, then one TOML file, then the environment, then flags.
//!
//! A settings type derives `Deserialize` and `Serialize` with `#[serde(default, deny_unknown_fields)]` and
//! implements `Default`; so an unknown key stops the start with the names that are allowed.

use std::path::{Path, PathBuf};

use config::{Config, ConfigError, File, FileFormat};
use secrecy::{ExposeSecret, SecretString};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("the settings file {path} cannot be read")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A source is not TOML, or a value has the wrong type, or a key is unknown.
    #[error("{0}")]
    Content(#[source] ConfigError),
    /// The settings cannot be shown.
    #[error("the settings cannot be shown")]
    Show(#[source] toml::ser::Error),
}

impl SettingsError {
    /// The exit code for faulty settings, `EX_CONFIG` of sysexits.h.
    pub const EXIT_CODE: u8 = 78;
}

/// Loads settings from the file, from the variables `<prefix>__A__B` of this process, and from flags, given as
/// `("a.b", "value")`; what comes later wins. A value that begins with `[` or `{` is read as TOML.
///
/// # Errors
/// When a source cannot be read, a key is unknown or a value has the wrong type.
pub fn load<T: DeserializeOwned>(
    prefix: &str,
    file: Option<&Path>,
    flags: &[(String, String)],
) -> Result<T, SettingsError> {
    // A variable that is no Unicode cannot be one of ours.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    load_from(prefix, file, variables, flags)
}

/// As [`load`], with the environment as a parameter.
///
/// # Errors
/// As [`load`].
pub fn load_from<T: DeserializeOwned>(
    prefix: &str,
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
    flags: &[(String, String)],
) -> Result<T, SettingsError> {
    let mut builder = Config::builder();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|source| SettingsError::File {
            path: path.to_owned(),
            source,
        })?;
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
    }
    let start = format!("{prefix}__");
    let mut variables: Vec<_> = variables
        .into_iter()
        .filter_map(|(name, value)| {
            let key = name.strip_prefix(&start)?.to_lowercase().replace("__", ".");
            Some((key, value))
        })
        .collect();
    variables.sort();
    for (key, value) in variables.iter().chain(flags) {
        builder = builder.add_source(File::from_str(&line(key, value), FileFormat::Toml));
    }
    let merged = builder.build().map_err(SettingsError::Content)?;
    merged.try_deserialize().map_err(SettingsError::Content)
}

/// One setting as a line of TOML.
fn line(key: &str, value: &str) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let key = key.split('.').map(quoted).collect::<Vec<_>>().join(".");
    let structured = value.starts_with('[') || value.starts_with('{');
    let value = if structured {
        value.to_owned()
    } else {
        quoted(value)
    };
    format!("{key} = {value}")
}

/// The settings as TOML for `--print-config`; secrets are hidden.
///
/// # Errors
/// When a value has no form in TOML.
pub fn show<T: Serialize>(settings: &T) -> Result<String, SettingsError> {
    toml::to_string(settings).map_err(SettingsError::Show)
}

/// A secret: `token = "..."`, or `token.file = "/run/secrets/token"` for one that is mounted
/// (`OC__TOKEN__FILE` in the environment). Neither `Debug` nor `--print-config` shows it.
#[derive(Debug, Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// A secret made by the program.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }
}

impl ExposeSecret<str> for Secret {
    fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(hidden)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Source {
            Text(String),
            File(InFile),
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct InFile {
            file: PathBuf,
        }
        let wrong = |_| D::Error::custom("a secret is a text, or a table with `file`");
        match Source::deserialize(deserializer).map_err(wrong)? {
            Source::Text(text) => Ok(Secret::new(text)),
            Source::File(InFile { file }) => {
                let text = std::fs::read_to_string(&file)
                    .map_err(|error| D::Error::custom(format!("{}: {error}", file.display())))?;
                Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
            }
        }
    }
}
