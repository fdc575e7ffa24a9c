//! Which images of a dataset are wanted.

use jiff::Timestamp;
use oc_kernel::Name;

use super::{Area, DataError, Filter, Image};

/// A span of time in ms since the epoch, both ends inclusive; a missing end is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// The begin.
    pub(crate) from: Option<i64>,
    /// The end.
    pub(crate) to: Option<i64>,
}

impl Span {
    /// True when it ends before it begins.
    pub(crate) fn is_empty(&self) -> bool {
        matches!((self.from, self.to), (Some(from), Some(to)) if from > to)
    }

    /// True when the taking of the image overlaps.
    pub(crate) fn touches(&self, image: &Image) -> bool {
        !self.is_empty()
            && self.from.is_none_or(|from| image.ended_ms >= from)
            && self.to.is_none_or(|to| image.taken_ms <= to)
    }

    /// How far an image lies outside, in ms; zero inside.
    pub(crate) fn distance(&self, image: &Image) -> u64 {
        let before = self
            .from
            .map_or(0, |from| from.saturating_sub(image.ended_ms));
        let after = self.to.map_or(0, |to| image.taken_ms.saturating_sub(to));
        u64::try_from(before.max(after)).unwrap_or(0)
    }
}

/// Reads a STAC `datetime`: a time (RFC 3339), or two joined by `/`, of which one may be `..` or empty.
///
/// # Errors
/// When it is neither.
pub(crate) fn parse_interval(text: &str) -> Result<Span, DataError> {
    let wrong = || {
        let shown: String = text.chars().take(80).collect();
        DataError::Question(format!(
            "`{shown}` is no time or span: write for example 2025-06-01T00:00:00Z/2025-06-30T23:59:59Z"
        ))
    };
    let time = |text: &str| -> Result<Option<i64>, DataError> {
        if matches!(text, "" | "..") {
            return Ok(None);
        }
        let time: Timestamp = text.parse().map_err(|_| wrong())?;
        Ok(Some(time.as_millisecond()))
    };
    let span = match text.split_once('/') {
        None => {
            let at = time(text)?.ok_or_else(wrong)?;
            Span {
                from: Some(at),
                to: Some(at),
            }
        }
        Some((from, to)) => Span {
            from: time(from)?,
            to: time(to)?,
        },
    };
    match (span.from, span.to) {
        (None, None) => Err(wrong()),
        (Some(from), Some(to)) if from > to => Err(wrong()),
        _ => Ok(span),
    }
}

/// A narrowing of a dataset.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Query {
    /// Only images whose footprint touches it.
    pub(crate) area: Option<Area>,
    /// Only images taken then.
    pub(crate) time: Span,
    /// Only images that hold all of these.
    pub(crate) filters: Vec<Filter>,
    /// Only images that have all of these files.
    pub(crate) assets: Vec<Name>,
    /// At most this many, the newest first.
    pub(crate) limit: Option<usize>,
}

impl Query {
    /// True when the image is wanted, the time apart.
    pub(crate) fn wants_at_any_time(&self, image: &Image) -> bool {
        self.filters.iter().all(|filter| filter.holds(image))
            && self
                .assets
                .iter()
                .all(|name| image.files.contains_key(name))
    }
}

/// The image nearest in time to a question that finds none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nearest {
    /// Its id.
    pub(crate) id: Name,
    /// When it was taken, in ms since the epoch.
    pub(crate) taken_ms: i64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::index::tests::image;

    #[test]
    fn a_datetime_is_an_instant_or_a_span() {
        let span = |from, to| Span { from, to };
        for (text, expected) in [
            ("1970-01-01T00:00:01Z", span(Some(1000), Some(1000))),
            ("1970-01-01T00:00:01Z/..", span(Some(1000), None)),
            ("/1970-01-01T00:00:01+00:00", span(None, Some(1000))),
            (
                "1970-01-01T00:00:01Z/1970-01-01T00:00:02.5Z",
                span(Some(1000), Some(2500)),
            ),
        ] {
            assert_eq!(parse_interval(text).unwrap(), expected, "{text}");
        }
        for text in [
            "",
            "..",
            "../..",
            "/",
            "2025",
            "1970-01-01T00:00:02Z/1970-01-01T00:00:01Z",
            "1970-01-01T00:00:02Z/x",
        ] {
            assert!(parse_interval(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_distance_is_zero_inside_and_grows_outside() {
        let image = image("demo", "a", 5000, [0.0, 0.0], json!({}));
        let distance = |from, to| Span { from, to }.distance(&image);
        assert_eq!(distance(None, None), 0);
        assert_eq!(distance(Some(5000), Some(5000)), 0);
        assert_eq!(distance(Some(7000), None), 2000);
        assert_eq!(distance(None, Some(1000)), 4000);
    }
}
