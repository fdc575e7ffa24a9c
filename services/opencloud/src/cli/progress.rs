//! How far a large file is, for people.

use indicatif::{ProgressBar, ProgressStyle};

/// From here on a person wants to see how far it is, in bytes.
const LARGE: u64 = 8 << 20;

/// A bar of `length` bytes; nothing for a small file, or where no terminal shows it.
pub(crate) fn bytes(length: u64, message: &str) -> ProgressBar {
    if length < LARGE {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    let template =
        "{wide_msg} {bar:24.green} {binary_bytes:>11}/{binary_total_bytes} {binary_bytes_per_sec}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(message.to_owned());
    bar
}
