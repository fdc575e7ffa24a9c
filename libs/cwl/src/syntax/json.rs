//! JSON (RFC 8259) with line and column of every value and key.

use serde_json::Number;

use super::{Data, Entry, Map, Mark, Node, SyntaxError};
use crate::Limits;

/// A limit ends the matter; a text that is not JSON may still be YAML.
pub(super) enum Failure {
    Limit(SyntaxError),
    NotJson(SyntaxError),
}

pub(super) fn parse(text: &str, file: u16, limits: &Limits) -> Result<Node, Failure> {
    let mut parser = Parser {
        bytes: text.as_bytes(),
        text,
        at: 0,
        line: 1,
        column: 1,
        file,
        limits,
        nodes: 0,
    };
    parser.skip_space();
    let node = parser.value(0)?;
    parser.skip_space();
    if parser.at < parser.bytes.len() {
        return Err(parser.not_json("something follows the end of the document"));
    }
    Ok(node)
}

struct Parser<'t> {
    bytes: &'t [u8],
    text: &'t str,
    at: usize,
    line: u32,
    column: u32,
    file: u16,
    limits: &'t Limits,
    nodes: usize,
}

impl Parser<'_> {
    fn not_json(&self, message: impl Into<String>) -> Failure {
        Failure::NotJson(SyntaxError::new(self.line, self.column, message))
    }

    fn mark(&self) -> Mark {
        Mark {
            file: self.file,
            line: self.line,
            column: self.column,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn step(&mut self) {
        match self.bytes[self.at] {
            b'\n' => {
                self.line += 1;
                self.column = 1;
            }
            // A continuation byte belongs to the character before it.
            byte if byte & 0xC0 == 0x80 => {}
            _ => self.column += 1,
        }
        self.at += 1;
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.step();
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Failure> {
        if self.peek() == Some(byte) {
            self.step();
            return Ok(());
        }
        Err(self.not_json(format!("expected `{}`", char::from(byte))))
    }

    fn value(&mut self, depth: usize) -> Result<Node, Failure> {
        let mark = self.mark();
        if depth > self.limits.depth {
            return Err(Failure::Limit(SyntaxError::new(
                mark.line,
                mark.column,
                format!("nested deeper than {} levels", self.limits.depth),
            )));
        }
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            return Err(Failure::Limit(SyntaxError::new(
                mark.line,
                mark.column,
                format!("more than {} values", self.limits.nodes),
            )));
        }
        let data = match self.peek() {
            Some(b'{') => self.map(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Data::Text(self.string()?),
            Some(b't') => self.word("true", Data::Bool(true))?,
            Some(b'f') => self.word("false", Data::Bool(false))?,
            Some(b'n') => self.word("null", Data::Null)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => return Err(self.not_json("expected a JSON value")),
            None => return Err(self.not_json("the document ends too early")),
        };
        Ok(Node::new(data, mark))
    }

    fn map(&mut self, depth: usize) -> Result<Data, Failure> {
        self.step();
        let mut map = Map::new();
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.step();
            return Ok(Data::Map(map));
        }
        loop {
            self.skip_space();
            let key_mark = self.mark();
            let key = self.string()?;
            self.skip_space();
            self.expect(b':')?;
            self.skip_space();
            let node = self.value(depth + 1)?;
            if map.contains_key(&key) {
                return Err(Failure::Limit(SyntaxError::new(
                    key_mark.line,
                    key_mark.column,
                    format!("the key `{key}` is written twice"),
                )));
            }
            let entry = Entry {
                key: key_mark,
                node,
            };
            map.insert(key, entry);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.step(),
                Some(b'}') => {
                    self.step();
                    return Ok(Data::Map(map));
                }
                _ => return Err(self.not_json("expected `,` or `}`")),
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Data, Failure> {
        self.step();
        let mut items = Vec::new();
        self.skip_space();
        if self.peek() == Some(b']') {
            self.step();
            return Ok(Data::List(items));
        }
        loop {
            self.skip_space();
            items.push(self.value(depth + 1)?);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.step(),
                Some(b']') => {
                    self.step();
                    return Ok(Data::List(items));
                }
                _ => return Err(self.not_json("expected `,` or `]`")),
            }
        }
    }

    /// The slice is handed to serde_json, which knows every escape.
    fn string(&mut self) -> Result<String, Failure> {
        let start = self.at;
        self.expect(b'"')?;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.step();
                    break;
                }
                Some(b'\\') => {
                    self.step();
                    if self.peek().is_none() {
                        return Err(self.not_json("the string has no end"));
                    }
                    self.step();
                }
                Some(_) => self.step(),
                None => return Err(self.not_json("the string has no end")),
            }
        }
        serde_json::from_str(&self.text[start..self.at])
            .map_err(|_| self.not_json("the string has a bad escape or a control character"))
    }

    fn number(&mut self) -> Result<Data, Failure> {
        let start = self.at;
        while matches!(
            self.peek(),
            Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')
        ) {
            self.step();
        }
        let text = &self.text[start..self.at];
        let number =
            serde_json::from_str::<Number>(text).map_err(|_| self.not_json("not a JSON number"))?;
        // serde_json may miss the nearest float by one unit in the last place; the standard library does not.
        let exact = number
            .is_f64()
            .then(|| text.parse().ok().and_then(Number::from_f64));
        Ok(Data::Number(exact.flatten().unwrap_or(number)))
    }

    fn word(&mut self, word: &str, data: Data) -> Result<Data, Failure> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.not_json("expected a JSON value"));
        }
        for _ in 0..word.len() {
            self.step();
        }
        Ok(data)
    }
}
