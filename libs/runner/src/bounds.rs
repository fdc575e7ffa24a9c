//! How much a runner says at most. Whoever writes a workflow chooses its steps' names, what its tools print and what its
//! scripts throw, so a runner cuts what it passes on; and a node, which trusts no runner, cuts it once more, so that
//! what it was told can always be kept.

use super::{End, Event};

/// Bytes of a log line.
pub const LINE: usize = 8 << 10;

/// Bytes of the sentence that says why an attempt failed.
pub const MESSAGE: usize = 16 << 10;

/// Bytes of a step's name.
pub const STEP: usize = 1 << 10;

/// Bytes of an output object as JSON: it goes home in one message and lies in documents on both sides.
pub const OUTPUT_OBJECT: usize = 2 << 20;

/// What stands where a text was cut.
const CUT: &str = "…";

impl Event {
    /// The event with its texts cut to their bounds.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        match &mut self {
            Event::StepStarted { step } | Event::StepEnded { step, .. } => cut(step, STEP),
            Event::Log { step, text, .. } => {
                cut(step, STEP);
                cut(text, LINE);
            }
            Event::Ended { report } => {
                if let End::Failed { step, message, .. } = &mut report.end {
                    cut(step, STEP);
                    cut(message, MESSAGE);
                }
            }
            Event::Phase { .. } | Event::Progress { .. } | Event::Heartbeat => {}
        }
        self
    }
}

fn cut(text: &mut String, limit: usize) {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit - CUT.len()));
        text.push_str(CUT);
    }
}

/// What to say of an output object of `length` bytes, where that is too many.
pub fn too_large(length: usize) -> Option<String> {
    (length > OUTPUT_OBJECT).then(|| {
        format!(
            "the output object has {length} bytes, and may have {OUTPUT_OBJECT}: write large values to files"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Report, Used};

    fn failed(message: &str) -> Event {
        let end = End::Failed {
            step: "s".repeat(9000),
            message: message.to_owned(),
            exit_code: None,
            code: String::new(),
        };
        let used = Used::default();
        Event::Ended {
            report: Report { end, used },
        }
    }

    #[test]
    fn a_message_and_names_are_cut_between_characters_and_what_fits_stays() {
        let Event::Ended { report } = failed(&"ä".repeat(5 << 20)).bounded() else {
            panic!()
        };
        let End::Failed { step, message, .. } = report.end else {
            panic!()
        };
        assert!(message.len() <= MESSAGE && message.len() > MESSAGE - 8);
        assert!(message.ends_with("ä…"), "{}", &message[MESSAGE - 20..]);
        assert_eq!(step.len(), STEP);
        let log = |text: &str| Event::Log {
            step: "s".into(),
            stderr: false,
            text: text.into(),
        };
        let fits = log(&"x".repeat(LINE));
        assert_eq!(fits.clone().bounded(), fits);
        assert_ne!(
            log(&"x".repeat(LINE + 1)).bounded(),
            log(&"x".repeat(LINE + 1))
        );
    }
}
