//! Standard input, output and error of a tool.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::files;
use super::shared::JobFolders;
use super::stage::Stage;
use crate::expression::Context;
use crate::{CommandLineTool, Process, RunError, Text, Type};

/// Bytes of the end of standard error that an error carries.
const LOG_TAIL: u64 = 2_000;

/// Names of the files for the streams, where the document says so.
pub(super) struct Streams {
    pub(super) stdin: Option<String>,
    pub(super) stdout: Option<String>,
    pub(super) stderr: Option<String>,
}

impl Streams {
    /// The names that the document gives the streams, or that the types `stdout` and `stderr` need.
    pub(super) fn of(
        process: &Process,
        tool: &CommandLineTool,
        inputs: &Value,
        context: Context<'_>,
    ) -> Result<Self, RunError> {
        let file = |text: &Option<Text>, what: &str| -> Result<Option<String>, RunError> {
            let Some(text) = text else {
                return Ok(None);
            };
            let name = context.text(text, what)?;
            if !files::is_inner(&name) {
                return Err(RunError::Input(format!(
                    "{what} `{name}` leaves the work folder"
                )));
            }
            Ok(Some(name))
        };
        let of_type = |wanted: &Type| {
            let mut outputs = process.outputs.iter();
            outputs.find(|output| output.type_ == *wanted)
        };
        let mut stdout = file(&tool.stdout, "stdout")?;
        if stdout.is_none() {
            stdout = of_type(&Type::Stdout).map(|output| format!("{}.stdout", output.id));
        }
        let mut stderr = file(&tool.stderr, "stderr")?;
        if stderr.is_none() {
            stderr = of_type(&Type::Stderr).map(|output| format!("{}.stderr", output.id));
        }
        let mut stdin = match &tool.stdin {
            Some(text) => match context.evaluate(text)? {
                Value::String(name) => Some(name),
                Value::Null => None,
                other => {
                    return Err(RunError::Input(format!(
                        "stdin must be a path, not {other}"
                    )));
                }
            },
            None => None,
        };
        let piped = process.inputs.iter().find(|input| {
            let members = input.type_.members();
            members.contains(&Type::Stdin)
        });
        if let (None, Some(input)) = (&stdin, piped) {
            let path = inputs.get(&input.id).and_then(|file| file.get("path"));
            stdin = path.and_then(Value::as_str).map(str::to_owned);
        }
        Ok(Self {
            stdin,
            stdout,
            stderr,
        })
    }

    /// Standard input is opened outside any sandbox, so it must be a file of this job.
    pub(super) fn check_stdin(
        stdin: &Path,
        folders: &JobFolders,
        stage: &Stage<'_>,
    ) -> Result<(), RunError> {
        let real = stdin
            .canonicalize()
            .map_err(|error| RunError::Input(format!("stdin `{}`: {error}", stdin.display())))?;
        let own = [&folders.out, &folders.stage];
        let own = own.iter().filter_map(|folder| folder.canonicalize().ok());
        let given = stage.originals().map(Path::to_owned);
        if own
            .chain(given)
            .any(|place: PathBuf| real.starts_with(place))
        {
            return Ok(());
        }
        let name = stdin.display();
        Err(RunError::Input(format!(
            "stdin `{name}` is no input of this tool"
        )))
    }
}

/// The last lines of a log, each on a line of its own.
pub(super) fn tail(path: &Path) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let start = file.metadata()?.len().saturating_sub(LOG_TAIL);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.trim_end().lines().rev().take(10).collect();
    lines
        .iter()
        .rev()
        .map(|line| format!("\n  {line}"))
        .collect()
}
