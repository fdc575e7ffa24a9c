//! Reads JSON bodies strictly: a field that nothing reads is refused by name, since it is most likely one that
//! was misspelt, and so is nesting that no request needs.
//!
//! The types cannot refuse unknown fields themselves: clients read answers into the same types, and an answer of
//! a newer node may say more.

use oc_kernel::{Kind, visible};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::problem::{Finding, Problem};

/// Objects and lists within each other; what `serde_json` reads at most.
const DEPTH: usize = 128;

/// Reads a body, or another JSON document in which nothing may be misspelt.
///
/// # Errors
/// What is wrong with it, where, and which fields there are.
pub fn read<T: DeserializeOwned + Serialize>(body: &[u8]) -> Result<T, Problem> {
    if deeper_than(DEPTH, body) {
        let detail = format!("the JSON is nested deeper than {DEPTH} levels");
        return Err(Problem::new(Kind::Malformed, detail));
    }
    let taken: T = serde_json::from_slice(body).map_err(|error| faulty(&error))?;
    let given: Value = serde_json::from_slice(body).map_err(|error| faulty(&error))?;
    let kept = serde_json::to_value(&taken).map_err(|error| faulty(&error))?;
    match unknown(&given, &kept) {
        Some(unknown) => Err(unknown.problem()),
        None => Ok(taken),
    }
}

/// Strings are skipped, so that brackets in them do not count.
fn deeper_than(limit: usize, body: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}

/// A field that was given and not taken.
struct Unknown {
    /// From the innermost object outwards.
    path: Vec<String>,
    there_are: Vec<String>,
}

/// The first field of `given` that is not in `kept`: every field that is read is written again, by the rule of
/// JSON in this project that a default is written like any other value.
fn unknown(given: &Value, kept: &Value) -> Option<Unknown> {
    let within = |name: String, given, kept| {
        let mut found = unknown(given, kept)?;
        found.path.push(name);
        Some(found)
    };
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            given.iter().find_map(|(name, value)| match kept.get(name) {
                Some(kept) => within(name.clone(), value, kept),
                None => Some(Unknown {
                    path: vec![name.clone()],
                    there_are: kept.keys().cloned().collect(),
                }),
            })
        }
        (Value::Array(given), Value::Array(kept)) => {
            let mut pairs = given.iter().zip(kept).enumerate();
            pairs.find_map(|(at, (given, kept))| within(at.to_string(), given, kept))
        }
        _ => None,
    }
}

impl Unknown {
    fn problem(self) -> Problem {
        let name = self.path.first().map(String::as_str).unwrap_or_default();
        let message = format!("unknown field `{}`", shortened(name));
        let escaped = |part: &String| shortened(&part.replace('~', "~0").replace('/', "~1"));
        let parts: Vec<_> = self.path.iter().rev().map(escaped).collect();
        let problem = Problem::new(
            Kind::Malformed,
            format!("the JSON cannot be read: {message}"),
        );
        let problem = match self.there_are.as_slice() {
            [] => problem.with_advice("leave it out: nothing stands there"),
            names => problem.with_advice(format!("there are: {}", names.join(", "))),
        };
        problem.with_errors(vec![Finding {
            message,
            line: None,
            column: None,
            pointer: Some(format!("/{}", parts.join("/"))),
        }])
    }
}

/// What a caller wrote, as it may stand in an answer.
fn shortened(text: &str) -> String {
    visible(text).chars().take(80).collect()
}

fn faulty(error: &serde_json::Error) -> Problem {
    let line = u32::try_from(error.line()).ok().filter(|line| *line > 0);
    let column = u32::try_from(error.column()).ok();
    let text = error.to_string();
    // serde_json appends the position, which has members of its own here.
    let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
    let errors = match line {
        Some(_) => vec![Finding {
            message: message.clone(),
            line,
            column,
            pointer: None,
        }],
        None => Vec::new(),
    };
    Problem::new(
        Kind::Malformed,
        format!("the JSON cannot be read: {message}"),
    )
    .with_errors(errors)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    /// Shaped like our messages: defaults everywhere, a choice of fields flattened into its message.
    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Run {
        name: String,
        inputs: BTreeMap<String, Input>,
    }

    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Input {
        #[serde(flatten)]
        value: Option<Choice>,
    }

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Choice {
        Json(String),
        Dataset(Query),
    }

    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Query {
        area: Option<Area>,
        filters: Vec<Area>,
    }

    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Area {
        west: f64,
    }

    fn refused<T: DeserializeOwned + Serialize>(body: &str) -> Problem {
        match read::<T>(body.as_bytes()) {
            Ok(_) => panic!("{body} is read"),
            Err(problem) => problem,
        }
    }

    #[test]
    fn a_misspelt_field_is_named_with_those_there_are() {
        let problem = refused::<Run>(r#"{"naem": "a"}"#);
        assert_eq!(problem.status, 400);
        assert!(problem.detail.contains("`naem`"), "{problem:?}");
        assert_eq!(problem.advice.as_deref(), Some("there are: name, inputs"));
    }

    #[test]
    fn a_field_is_missed_within_maps_choices_and_lists_too() {
        for (input, field, pointer) in [
            (r#"{"dataset": {"quarry": {}}}"#, "quarry", "dataset/quarry"),
            (
                r#"{"dataset": {"area": {"wset": 1}}}"#,
                "wset",
                "dataset/area/wset",
            ),
            (
                r#"{"dataset": {"filters": [{"west": 1}, {"a/b": 1}]}}"#,
                "a/b",
                "dataset/filters/1/a~1b",
            ),
            (r#"{"json": "1", "dataset": {}}"#, "dataset", "dataset"),
        ] {
            let problem = refused::<Run>(&format!(r#"{{"inputs": {{"x": {input}}}}}"#));
            assert!(
                problem.detail.contains(&format!("`{field}`")),
                "{problem:?}"
            );
            let pointer = format!("/inputs/x/{pointer}");
            assert_eq!(problem.errors[0].pointer.as_ref(), Some(&pointer));
        }
        let body = br#"{"inputs": {"x": {"dataset": {"area": {"west": 1}}}, "y": {"json": "{}"}}}"#;
        assert!(read::<Run>(body).is_ok());
    }

    #[test]
    fn keys_that_the_caller_chooses_are_not_fields() {
        let body = br#"{"any": {"thing": [1, {"goes": null}]}}"#;
        assert!(read::<BTreeMap<String, Value>>(body).is_ok());
    }

    #[test]
    fn nesting_ends_at_a_limit_that_is_told() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(read::<Value>(nested(100).as_bytes()).is_ok());
        let nowhere_read = format!(r#"{{"x": {}}}"#, nested(20_000));
        assert!(refused::<Run>(&nowhere_read).detail.contains("128"));
        let brackets_in_a_text = serde_json::to_string(&"[{\"".repeat(20_000)).unwrap();
        assert!(read::<Value>(brackets_in_a_text.as_bytes()).is_ok());
    }
}
