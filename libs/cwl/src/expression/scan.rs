//! Finding `$(..)` and `${..}` in a string.

/// A part of a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    /// Text that stands for itself; escapes are taken away.
    Literal(String),
    /// What stands between `$(` and `)`.
    Expression(&'t str),
    /// What stands between `${` and `}`.
    Body(&'t str),
}

/// True where a string must be scanned at all: others keep their backslashes.
pub(crate) fn is_dynamic(text: &str) -> bool {
    text.contains("$(") || text.contains("${")
}

/// The parts of a string.
///
/// # Errors
/// When a bracket is never closed.
pub(crate) fn scan(text: &str) -> Result<Vec<Piece<'_>>, String> {
    if !is_dynamic(text) {
        return Ok(vec![Piece::Literal(text.to_owned())]);
    }
    let bytes = text.as_bytes();
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut kept = 0;
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'\\', Some(b'$')) if matches!(bytes.get(at + 2), Some(b'(' | b'{')) => {
                literal.push_str(&text[kept..at]);
                kept = at + 1;
                at += 3;
            }
            (b'\\', Some(b'\\')) => {
                literal.push_str(&text[kept..=at]);
                kept = at + 2;
                at += 2;
            }
            (b'$', Some(open @ (b'(' | b'{'))) => {
                literal.push_str(&text[kept..at]);
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                let end = closing(bytes, at + 1)
                    .ok_or_else(|| format!("`{}` is never closed", excerpt(&text[at..])))?;
                let inner = &text[at + 2..end];
                pieces.push(if *open == b'(' {
                    Piece::Expression(inner)
                } else {
                    Piece::Body(inner)
                });
                at = end + 1;
                kept = at;
            }
            _ => at += 1,
        }
    }
    literal.push_str(&text[kept..]);
    if !literal.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

/// The first words of a long expression, for messages.
pub(crate) fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.replace('\n', " ")
}

/// The place of the bracket that closes the one at `open`; brackets in strings and comments of the
/// script do not count.
fn closing(bytes: &[u8], open: usize) -> Option<usize> {
    let (opening, closing) = match bytes[open] {
        b'(' => (b'(', b')'),
        _ => (b'{', b'}'),
    };
    let mut depth = 0usize;
    let mut at = open;
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'\'' | b'"' | b'`') => at = end_of_string(bytes, at, quote)?,
            b'/' if at > 0 && bytes[at - 1] != b'\\' => match bytes.get(at + 1) {
                Some(b'/') => {
                    let line_end = bytes[at..].iter().position(|byte| *byte == b'\n');
                    match line_end {
                        Some(length) => at += length,
                        // A comment that swallows the end of the string is none.
                        None => at += 1,
                    }
                }
                Some(b'*') => {
                    let end = bytes[at + 2..].windows(2).position(|two| two == b"*/")?;
                    at += end + 3;
                }
                _ => {}
            },
            byte if byte == opening => depth += 1,
            byte if byte == closing => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

fn end_of_string(bytes: &[u8], start: usize, quote: u8) -> Option<usize> {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            byte if byte == quote => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Rewrites the escapes of v1.0 and v1.1, where a backslash frees any character, into those of v1.2,
/// where it does so before `$(`, `${` and `\` only.
pub(crate) fn upgrade_escapes(text: &str) -> String {
    if !is_dynamic(text) || !text.contains('\\') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut upgraded = String::with_capacity(text.len());
    let mut kept = 0;
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'\\', Some(next)) => {
                let freed = matches!(bytes.get(at + 2), Some(b'(' | b'{')) && *next == b'$';
                if !freed && *next != b'\\' {
                    upgraded.push_str(&text[kept..at]);
                    kept = at + 1;
                }
                at += 2;
            }
            (b'$', Some(b'(' | b'{')) => match closing(bytes, at + 1) {
                Some(end) => at = end + 1,
                None => break,
            },
            _ => at += 1,
        }
    }
    upgraded.push_str(&text[kept..]);
    upgraded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Piece<'_> {
        Piece::Literal(text.to_owned())
    }

    #[test]
    fn expressions_are_cut_out_of_their_text() {
        assert_eq!(
            scan("a $(inputs.x) b ${return ')}';}").unwrap(),
            [
                literal("a "),
                Piece::Expression("inputs.x"),
                literal(" b "),
                Piece::Body("return ')}';")
            ]
        );
        assert_eq!(scan("cost: $5 \\n").unwrap(), [literal("cost: $5 \\n")]);
    }

    #[test]
    fn brackets_in_strings_and_comments_do_not_count() {
        let text = "${ // don't } stop\n /* } */ return \"}\" + '}'; }";
        assert_eq!(scan(text).unwrap(), [Piece::Body(&text[2..text.len() - 1])]);
    }

    #[test]
    fn a_backslash_frees_a_dollar_and_a_backslash_only() {
        assert_eq!(
            scan(r"\$(a) \\ \n $(b)").unwrap(),
            [literal(r"$(a) \ \n "), Piece::Expression("b")]
        );
    }

    #[test]
    fn an_open_bracket_is_a_fault() {
        assert!(scan("$(inputs.x").unwrap_err().contains("never closed"));
        assert!(scan("${ return '}' ").is_err());
    }

    #[test]
    fn old_escapes_become_new_ones() {
        assert_eq!(upgrade_escapes(r"\a\$(b) \\ $(c)"), r"a\$(b) \\ $(c)");
        assert_eq!(upgrade_escapes(r"\a"), r"\a");
    }
}
