//! The inner side of JavaScript: a process in a sandbox that reads scripts and writes their results, a
//! JSON document a line each. It ends when its input does.

use std::io::{self, BufRead, Write};

use oc_cwl::{EvaluationError, Evaluator, QuickJs, Script};
use serde_json::Value;

/// Evaluates every script that comes.
///
/// # Errors
/// When a line is no script, or nobody reads the results.
pub fn evaluate_all(input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let interpreter = QuickJs::default();
    for line in input.lines() {
        let script: Script<'_> = serde_json::from_str(&line?)?;
        let result: Result<Value, EvaluationError> = interpreter.evaluate(&script);
        let mut answer = serde_json::to_vec(&result)?;
        answer.push(b'\n');
        output.write_all(&answer)?;
        output.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_script_gets_one_line_and_starts_afresh() {
        let script = |body: &str| {
            serde_json::json!({"body": body, "library": [], "inputs": {"n": 2},
                               "self": null, "runtime": null})
            .to_string()
        };
        let input = [
            script("globalThis.left = 1; return inputs.n + 40;"),
            script("return typeof left;"),
            script("throw 'no';"),
        ]
        .join("\n");
        let mut output = Vec::new();
        evaluate_all(input.as_bytes(), &mut output).unwrap();
        let output = String::from_utf8(output).unwrap();
        let results: Vec<Result<Value, EvaluationError>> = output
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(results[0], Ok(42.into()));
        assert_eq!(results[1], Ok("undefined".into()));
        assert!(matches!(results[2], Err(EvaluationError::Script(_))));
    }
}
