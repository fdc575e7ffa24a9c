//! The language of our caveats: each one narrows what a macaroon opens. A caveat that is not of this
//! language is refused, never skipped.

use std::fmt;
use std::str::FromStr;

use oc_kernel::{AttemptId, FragmentId, ObjectKey};

/// One restriction. Several of a kind must all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caveat {
    /// `fragment = <id>`: for this fragment's work only.
    Fragment(FragmentId),
    /// `attempt = <id>`: for this attempt only.
    Attempt(AttemptId),
    /// `input = <key> <key> ...`: reads only these objects; none at all where the list is empty.
    Input(Vec<ObjectKey>),
    /// `output < <prefix>`: writes only below this prefix.
    OutputBelow(ObjectKey),
    /// `output = <key>`: writes only this object.
    Output(ObjectKey),
    /// `max-bytes <= <n>`: writes at most so many bytes.
    MaxBytes(u64),
    /// `time < <ms>`: until this time, in ms since the epoch.
    Time(u64),
    /// `generation = <n>`: while the grant has this generation.
    Generation(u64),
}

/// A text that is no caveat of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the caveat `{0}` is not known here")]
pub struct UnknownCaveat(String);

impl fmt::Display for Caveat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Caveat::Fragment(id) => write!(f, "fragment = {id}"),
            Caveat::Attempt(id) => write!(f, "attempt = {id}"),
            Caveat::Input(keys) => {
                f.write_str("input =")?;
                keys.iter().try_for_each(|key| write!(f, " {key}"))
            }
            Caveat::OutputBelow(prefix) => write!(f, "output < {prefix}"),
            Caveat::Output(key) => write!(f, "output = {key}"),
            Caveat::MaxBytes(bytes) => write!(f, "max-bytes <= {bytes}"),
            Caveat::Time(ms) => write!(f, "time < {ms}"),
            Caveat::Generation(n) => write!(f, "generation = {n}"),
        }
    }
}

impl FromStr for Caveat {
    type Err = UnknownCaveat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownCaveat(text.chars().take(80).collect());
        // One spelling for each caveat: whoever reads it another way would restrict something else.
        read(text)
            .filter(|caveat| caveat.to_string() == text)
            .ok_or_else(unknown)
    }
}

fn read(text: &str) -> Option<Caveat> {
    if text == "input =" {
        return Some(Caveat::Input(Vec::new()));
    }
    let mut words = text.splitn(3, ' ');
    let (name, operator, value) = (words.next()?, words.next()?, words.next()?);
    Some(match (name, operator) {
        ("fragment", "=") => Caveat::Fragment(value.parse().ok()?),
        ("attempt", "=") => Caveat::Attempt(value.parse().ok()?),
        ("input", "=") => {
            let keys = value.split(' ').map(str::parse);
            Caveat::Input(keys.collect::<Result<_, _>>().ok()?)
        }
        ("output", "<") => Caveat::OutputBelow(value.parse().ok()?),
        ("output", "=") => Caveat::Output(value.parse().ok()?),
        ("max-bytes", "<=") => Caveat::MaxBytes(value.parse().ok()?),
        ("time", "<") => Caveat::Time(value.parse().ok()?),
        ("generation", "=") => Caveat::Generation(value.parse().ok()?),
        _ => return None,
    })
}

/// What is done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access<'a> {
    /// Read it.
    Read(&'a ObjectKey),
    /// Write it.
    Write {
        /// The object.
        key: &'a ObjectKey,
        /// Its whole length in bytes, as announced.
        bytes: u64,
    },
    /// No object: states, logs, the end.
    Report,
}

/// What somebody wants who shows a macaroon, as the server knows it.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The time, in ms since the epoch.
    pub now_ms: u64,
    /// The generation of the grant that is in force.
    pub generation: u64,
    /// The work it is for; none for a transfer that belongs to no attempt.
    pub work: Option<(FragmentId, AttemptId)>,
    /// What is done.
    pub access: Access<'a>,
}

/// Why a macaroon does not open what is asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A caveat of another language.
    #[error(transparent)]
    Unknown(#[from] UnknownCaveat),
    /// A caveat does not hold.
    #[error("the caveat `{0}` does not hold")]
    Broken(String),
    /// Nothing restricts what must be restricted: our own macaroons always do.
    #[error("no caveat restricts the {0}")]
    Unrestricted(&'static str),
}

impl Ask<'_> {
    /// Checks that every caveat is known and holds, and that time, generation, work and object are restricted.
    ///
    /// # Errors
    /// The first caveat that does not hold, or what is missing.
    pub(crate) fn check<'c>(&self, texts: impl Iterator<Item = &'c str>) -> Result<(), Refusal> {
        let mut restricted = Restricted::default();
        for text in texts {
            let caveat: Caveat = text.parse()?;
            if !self.satisfies(&caveat) {
                return Err(Refusal::Broken(text.chars().take(120).collect()));
            }
            restricted.note(&caveat);
        }
        let (reads, writes) = match self.access {
            Access::Read(_) => (true, false),
            Access::Write { .. } => (false, true),
            Access::Report => (false, false),
        };
        let work = self.work.is_some();
        let demands = [
            (true, restricted.time, "time"),
            (true, restricted.generation, "generation"),
            (work, restricted.fragment, "fragment"),
            (work, restricted.attempt, "attempt"),
            (reads, restricted.input, "input"),
            (writes, restricted.output, "output"),
        ];
        match demands.iter().find(|(needed, there, _)| *needed && !there) {
            Some((_, _, what)) => Err(Refusal::Unrestricted(what)),
            None => Ok(()),
        }
    }

    fn satisfies(&self, caveat: &Caveat) -> bool {
        match (caveat, self.access) {
            (Caveat::Fragment(id), _) => self.work.is_some_and(|(fragment, _)| fragment == *id),
            (Caveat::Attempt(id), _) => self.work.is_some_and(|(_, attempt)| attempt == *id),
            (Caveat::Time(end), _) => self.now_ms < *end,
            (Caveat::Generation(n), _) => self.generation == *n,
            (Caveat::Input(keys), Access::Read(key)) => keys.contains(key),
            (Caveat::OutputBelow(prefix), Access::Write { key, .. }) => key.is_below(prefix),
            (Caveat::Output(only), Access::Write { key, .. }) => key == only,
            (Caveat::MaxBytes(most), Access::Write { bytes, .. }) => bytes <= *most,
            // What restricts reading says nothing about writing, and the other way round.
            (Caveat::Input(_), Access::Write { .. } | Access::Report)
            | (
                Caveat::OutputBelow(_) | Caveat::Output(_) | Caveat::MaxBytes(_),
                Access::Read(_) | Access::Report,
            ) => true,
        }
    }
}

#[derive(Default)]
struct Restricted {
    time: bool,
    generation: bool,
    fragment: bool,
    attempt: bool,
    input: bool,
    output: bool,
}

impl Restricted {
    fn note(&mut self, caveat: &Caveat) {
        match caveat {
            Caveat::Fragment(_) => self.fragment = true,
            Caveat::Attempt(_) => self.attempt = true,
            Caveat::Input(_) => self.input = true,
            Caveat::OutputBelow(_) | Caveat::Output(_) => self.output = true,
            Caveat::MaxBytes(_) => {}
            Caveat::Time(_) => self.time = true,
            Caveat::Generation(_) => self.generation = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Caveat> {
        let key = |text: &str| text.parse().unwrap();
        vec![
            Caveat::Fragment(FragmentId::new()),
            Caveat::Attempt(AttemptId::new()),
            Caveat::Input(vec![]),
            Caveat::Input(vec![key("a/b.tif"), key("c")]),
            Caveat::OutputBelow(key("work/x")),
            Caveat::Output(key("work/x/y")),
            Caveat::MaxBytes(u64::MAX),
            Caveat::Time(1_700_000_000_000),
            Caveat::Generation(0),
        ]
    }

    #[test]
    fn caveats_are_read_back_as_written() {
        for caveat in all() {
            assert_eq!(caveat.to_string().parse(), Ok(caveat));
        }
    }

    #[test]
    fn another_spelling_is_another_language() {
        for text in [
            "",
            "time < 1 ",
            " time < 1",
            "time <1",
            "time < 01",
            "time < +1",
            "time <= 1",
            "time < -1",
            "time < 99999999999999999999",
            "Time < 1",
            "input = ",
            "input = a  b",
            "input = ../a",
            "output > a",
            "attempt = run-0",
            "user = alice",
        ] {
            assert!(text.parse::<Caveat>().is_err(), "{text:?}");
        }
    }
}
