//! What the figures were taken on.

use std::fs;

use serde::Serialize;

/// A machine, as far as figures depend on it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    /// The processor's name.
    processor: String,
    /// Logical processors.
    cores: usize,
    /// Main memory.
    memory_bytes: u64,
    /// Processes that wanted a processor in the minute before: much above 0 spoils the figures.
    load: f64,
}

/// This one.
pub(crate) fn here() -> anyhow::Result<Machine> {
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let load = fs::read_to_string("/proc/loadavg")?;
    Ok(Machine {
        processor: field(&processors, "model name")
            .unwrap_or_default()
            .to_owned(),
        cores: std::thread::available_parallelism()?.get(),
        memory_bytes: kibibytes(&memory, "MemTotal").unwrap_or_default(),
        load: load
            .split(' ')
            .next()
            .and_then(|minute| minute.parse().ok())
            .unwrap_or_default(),
    })
}

/// A value that `/proc` gives in kB, in bytes.
pub(crate) fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let value = field(text, name)?.strip_suffix("kB")?;
    value.trim().parse::<u64>().ok().map(|value| value * 1_024)
}

fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}
