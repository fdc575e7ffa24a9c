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
    #[error(transparent)]
    Content(ConfigError),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write;

    use super::*;

    #[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
    #[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
    enum Store {
        Sqlite { path: PathBuf },
        Mongodb { uri: String },
    }

    #[derive(Debug, Clone, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        name: String,
        limit: u32,
        fast: bool,
        peers: Vec<String>,
        token: Option<Secret>,
        labels: BTreeMap<String, String>,
        store: Store,
    }

    impl Default for Sample {
        fn default() -> Self {
            Self {
                name: "north".to_owned(),
                limit: 3,
                fast: false,
                peers: Vec::new(),
                token: None,
                labels: BTreeMap::new(),
                store: Store::Sqlite {
                    path: "data".into(),
                },
            }
        }
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        owned.collect()
    }

    fn from_variables(variables: &[(&str, &str)]) -> Result<Sample, SettingsError> {
        load_from("OC", None, pairs(variables), &[])
    }

    #[test]
    fn what_comes_later_wins() {
        let file = file("name = \"file\"\nlimit = 5\nfast = true");
        let variables = pairs(&[
            ("OC__NAME", "environment"),
            ("OC__LIMIT", "7"),
            ("OTHER", "x"),
        ]);
        let flags = pairs(&[("name", "flag")]);
        let load = |file, variables, flags: &[_]| {
            let sample: Sample = load_from("OC", file, variables, flags).unwrap();
            (sample.name, sample.limit, sample.fast)
        };
        assert_eq!(load(None, vec![], &[]), ("north".into(), 3, false));
        assert_eq!(
            load(Some(file.path()), vec![], &[]),
            ("file".into(), 5, true)
        );
        assert_eq!(
            load(Some(file.path()), variables.clone(), &[]),
            ("environment".into(), 7, true)
        );
        assert_eq!(
            load(Some(file.path()), variables, &flags),
            ("flag".into(), 7, true)
        );
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_names_that_are_allowed() {
        let error = from_variables(&[("OC__LIMITS", "7")])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`limits`") && error.contains("`limit`"),
            "{error}"
        );
        let file = file("[store]\nkind = \"sqlite\"\npath = \"x\"\nurl = \"y\"");
        let error = load_from::<Sample>("OC", Some(file.path()), vec![], &[])
            .unwrap_err()
            .to_string();
        assert!(error.contains("url"), "{error}");
    }

    #[test]
    fn a_variable_can_hold_a_list_a_choice_and_any_text() {
        let sample = from_variables(&[
            ("OC__PEERS", "[\"a\", \"b\"]"),
            ("OC__STORE__KIND", "mongodb"),
            ("OC__STORE__URI", "mongodb://h/?a=\"b\"&c=\\d"),
            ("OC__NAME", "12"),
        ])
        .unwrap();
        assert_eq!(sample.peers, ["a", "b"]);
        assert_eq!(
            sample.store,
            Store::Mongodb {
                uri: "mongodb://h/?a=\"b\"&c=\\d".into()
            }
        );
        assert_eq!(sample.name, "12");
    }

    #[test]
    fn a_secret_comes_from_a_file_and_is_never_shown() {
        let secret = file("hunter2\n");
        let path = secret.path().to_str().unwrap();
        let sample = from_variables(&[("OC__TOKEN__FILE", path)]).unwrap();
        let token = sample.token.as_ref().unwrap();
        assert_eq!(token.expose_secret(), "hunter2");
        let shown = show(&sample).unwrap();
        assert!(shown.contains("token = \"(hidden)\""), "{shown}");
        assert!(!format!("{sample:?}{shown}").contains("hunter2"));

        let error = from_variables(&[("OC__TOKEN__FILE", "/nowhere/token")]).unwrap_err();
        assert!(error.to_string().contains("/nowhere/token"), "{error}");
    }

    #[test]
    fn what_is_shown_can_be_loaded_again() {
        let file = file(&show(&Sample::default()).unwrap());
        let again: Sample = load_from("OC", Some(file.path()), vec![], &[]).unwrap();
        assert_eq!(show(&again).unwrap(), show(&Sample::default()).unwrap());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load_from::<Sample>("OC", Some(Path::new("/nowhere.toml")), vec![], &[]);
        assert!(error.unwrap_err().to_string().contains("/nowhere.toml"));
    }
}
