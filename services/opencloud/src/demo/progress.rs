//! Progress on the terminal: what happens now and how long the last steps took.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Steps of the story.
const STEPS: u64 = 12;

/// Shows the steps of the story.
pub(crate) struct Progress {
    bar: ProgressBar,
    quiet: bool,
    terminal: bool,
    now: Mutex<(String, Instant)>,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = if quiet || !terminal {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(STEPS)
        };
        let style =
            ProgressStyle::with_template("{bar:24.green} {pos:>2}/{len} {spinner} {wide_msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self {
            bar,
            quiet,
            terminal,
            now: Mutex::new((String::new(), Instant::now())),
        }
    }

    /// A step of the story begins.
    pub(crate) fn step(&self, number: u64, text: &str) {
        self.finish_step();
        *self.lock() = (text.to_owned(), Instant::now());
        self.bar.set_position(number.saturating_sub(1));
        self.bar.set_message(text.to_owned());
    }

    /// Something within the step.
    pub(crate) fn note(&self, text: &str) {
        let step = self.lock().0.clone();
        self.bar.set_message(format!("{step}: {text}"));
    }

    /// What happens now.
    pub(crate) fn now(&self) -> String {
        self.lock().0.clone()
    }

    /// The last step is over.
    pub(crate) fn end(&self) {
        self.finish_step();
        self.lock().0.clear();
        self.bar.finish_and_clear();
    }

    fn finish_step(&self) {
        let now = self.lock();
        if self.quiet || now.0.is_empty() {
            return;
        }
        let line = format!("{:>6.2} s  {}", now.1.elapsed().as_secs_f64(), now.0);
        if self.terminal {
            self.bar.println(line);
        } else {
            anstream::eprintln!("{line}");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (String, Instant)> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
