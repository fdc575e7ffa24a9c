//! The one writer of standard output.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use oc_kernel::{LogRoom, Taken};
use oc_runner::{End, Event, LINE, Report, Used};

/// Longest silence.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// Sends events to the node. Clones send to the same place.
///
/// The queue behind it has no bound of its own: logs are bounded by the attempt's limit, and there are
/// few other events. So a node that reads slowly never holds up a tool, whose limits are watched by the
/// thread that would wait.
#[derive(Debug, Clone)]
pub struct Reporter {
    queue: Sender<Event>,
    log_bytes: u64,
    log_room: Arc<Mutex<LogRoom>>,
}

/// The thread that writes; it ends after [`Event::Ended`].
#[derive(Debug)]
pub struct Writer(JoinHandle<io::Result<()>>);

impl Reporter {
    /// Starts the writer over `output`, for an attempt that may log `log_bytes`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        output: impl Write + Send + 'static,
        log_bytes: u64,
    ) -> io::Result<(Self, Writer)> {
        let (queue, events) = channel();
        let thread = std::thread::Builder::new()
            .name("report".into())
            .spawn(move || write_all(output, &events))?;
        let reporter = Self {
            queue,
            log_bytes,
            log_room: Arc::new(Mutex::new(LogRoom::new(log_bytes))),
        };
        Ok((reporter, Writer(thread)))
    }

    /// Sends an event, its texts cut to their bounds.
    pub fn send(&self, event: Event) {
        // The writer is gone only when the node is, and then this process ends too.
        let _nobody_listens = self.queue.send(event.bounded());
    }

    /// Sends a line of log while there is room for it.
    pub fn log(&self, step: &str, stderr: bool, text: String) {
        let mut room = self.log_room.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = room.take(&text);
        drop(room);
        match taken {
            Taken::Kept => self.send(Event::Log {
                step: step.to_owned(),
                stderr,
                text,
            }),
            Taken::Cut => self.send(Event::Log {
                step: String::new(),
                stderr: true,
                text: format!(
                    "the log limit of {} bytes is reached, at {} a line beside its text; later lines are thrown away",
                    self.log_bytes,
                    LogRoom::LINE
                ),
            }),
            Taken::Dropped => {}
        }
    }

    /// Sends the end.
    pub fn end(&self, end: End, used: Used) {
        self.send(Event::Ended {
            report: Report { end, used },
        });
    }
}

impl Writer {
    /// Waits until everything is written.
    ///
    /// # Errors
    /// When the node does not read any more.
    pub fn finish(self) -> io::Result<()> {
        self.0
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the report's writer panicked")))
    }
}

fn write_all(mut output: impl Write, events: &Receiver<Event>) -> io::Result<()> {
    loop {
        let event = match events.recv_timeout(HEARTBEAT) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => Event::Heartbeat,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        let mut line = serde_json::to_vec(&event)?;
        line.push(b'\n');
        output.write_all(&line)?;
        output.flush()?;
        if matches!(event, Event::Ended { .. }) {
            return Ok(());
        }
    }
}

/// Turns what a tool prints into lines of log.
#[derive(Debug)]
pub struct LogLines {
    reporter: Reporter,
    step: String,
    stderr: bool,
    begun: Vec<u8>,
}

impl LogLines {
    /// Lines of one stream of one step.
    pub fn new(reporter: Reporter, step: &str, stderr: bool) -> Self {
        Self {
            reporter,
            step: step.to_owned(),
            stderr,
            begun: Vec::new(),
        }
    }

    fn send(&mut self) {
        let line = std::mem::take(&mut self.begun);
        let text = String::from_utf8_lossy(&line);
        let text = text.strip_suffix('\r').unwrap_or(&text);
        self.reporter.log(&self.step, self.stderr, text.to_owned());
    }
}

impl Write for LogLines {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        for byte in piece {
            if *byte == b'\n' {
                self.send();
                continue;
            }
            self.begun.push(*byte);
            if self.begun.len() == LINE {
                self.send();
            }
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLines {
    fn drop(&mut self) {
        if !self.begun.is_empty() {
            self.send();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(piece)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn events_of(log_bytes: u64, tell: impl FnOnce(&Reporter)) -> Vec<Event> {
        let output = Shared::default();
        let (reporter, writer) = Reporter::start(output.clone(), log_bytes).unwrap();
        tell(&reporter);
        reporter.end(End::Stopped, Used::default());
        writer.finish().unwrap();
        let bytes = output.0.lock().unwrap();
        let lines = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    fn texts(events: &[Event]) -> Vec<&str> {
        fn text(event: &Event) -> Option<&str> {
            match event {
                Event::Log { text, .. } => Some(text),
                _ => None,
            }
        }
        events.iter().filter_map(text).collect()
    }

    #[test]
    fn pieces_become_lines_and_the_last_one_needs_no_end() {
        let events = events_of(1000, |reporter| {
            let mut lines = LogLines::new(reporter.clone(), "s", true);
            for piece in ["on", "e\r\ntwo\n", "\nfour"] {
                lines.write_all(piece.as_bytes()).unwrap();
            }
        });
        assert_eq!(texts(&events), ["one", "two", "", "four"]);
        assert!(matches!(events.last(), Some(Event::Ended { .. })));
    }

    #[test]
    fn a_line_without_end_is_cut_and_odd_bytes_are_replaced() {
        let events = events_of(200_000, |reporter| {
            let mut lines = LogLines::new(reporter.clone(), "s", false);
            lines.write_all(&vec![b'x'; LINE + 1]).unwrap();
            lines.write_all(b"\n\xff\n").unwrap();
        });
        let lengths: Vec<usize> = texts(&events).iter().map(|text| text.len()).collect();
        assert_eq!(lengths, [LINE, 1, "\u{fffd}".len()]);
    }

    #[test]
    fn beyond_its_limit_a_log_says_once_that_it_ends() {
        let events = events_of(300, |reporter| {
            for _ in 0..5 {
                reporter.log("s", false, "1234".into());
            }
        });
        let texts = texts(&events);
        assert_eq!(texts.len(), 3);
        assert!(texts[2].contains("limit of 300 bytes"), "{texts:?}");
    }
}
