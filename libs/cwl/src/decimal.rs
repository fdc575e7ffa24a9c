//! Numbers without exponent: tools and the conformance suite read `1e42` as text or as an inexact number,
//! but `1000000000000000000000000000000000000000000` as what it is.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};
use serde_json::{Number, Value};

/// A number in decimal notation.
pub(crate) fn decimal(number: &Number) -> String {
    let text = number.to_string();
    match number.as_f64() {
        Some(float) if text.contains('e') => format!("{float}"),
        _ => text,
    }
}

/// A value as indented JSON with every number in decimal notation.
pub fn to_decimal_json(value: &Value) -> String {
    write(value, PrettyFormatter::new())
}

/// A value as JSON without white space, with every number in decimal notation.
pub(crate) fn to_compact_json(value: &Value) -> String {
    write(value, CompactFormatter)
}

fn write(value: &Value, formatter: impl Formatter) -> String {
    let mut bytes = Vec::new();
    let formatter = Decimal(formatter);
    let written = value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter));
    match written.map(|()| String::from_utf8(bytes)) {
        Ok(Ok(text)) => text,
        // Writing to memory does not fail, and JSON is UTF-8.
        _ => value.to_string(),
    }
}

struct Decimal<F>(F);

impl<F: Formatter> Formatter for Decimal<F> {
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        match Number::from_f64(value) {
            Some(number) => writer.write_all(decimal(&number).as_bytes()),
            None => CompactFormatter.write_null(writer),
        }
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn large_and_small_numbers_are_written_out() {
        let value = json!({"a": 1e21, "b": [0.000_000_1, 1.0, 7]});
        let text = to_decimal_json(&value);
        assert!(text.contains("1000000000000000000000"), "{text}");
        assert!(text.contains("0.0000001"), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["b"][2], 7);
    }
}
