//! JavaScript in this process, by QuickJS under limits of memory, time and stack. Scripts have no host
//! objects: no files, no network, no timers.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rquickjs::{CatchResultExt, CaughtError, Ctx, Function, Runtime, String as JsString};
use serde_json::Value;

use super::{EvaluationError, Evaluator, Script};
use crate::Limits;
use crate::syntax::parse_json;

/// What one evaluation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptLimits {
    /// From the start to the result, by the monotonic clock.
    pub time: Duration,
    /// Bytes of the interpreter's heap.
    pub memory: usize,
    /// Bytes of the interpreter's stack; the thread's own must be larger.
    pub stack: usize,
}

impl Default for ScriptLimits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(20),
            memory: 256 * 1024 * 1024,
            stack: 512 * 1024,
        }
    }
}

/// What a result may be, besides what the heap allows.
const RESULT_LIMITS: Limits = Limits {
    bytes: usize::MAX,
    depth: 200,
    nodes: usize::MAX,
    files: 0,
    total_bytes: usize::MAX,
    steps: 0,
};

/// An [`Evaluator`] in this process. Each thread that evaluates keeps one interpreter; each evaluation
/// gets a context of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct QuickJs {
    limits: ScriptLimits,
}

impl QuickJs {
    /// An evaluator with these limits.
    pub const fn new(limits: ScriptLimits) -> Self {
        Self { limits }
    }
}

thread_local! {
    static RUNTIME: RefCell<Option<Rc<Runtime>>> = const { RefCell::new(None) };
}

fn runtime() -> Result<Rc<Runtime>, EvaluationError> {
    RUNTIME.with_borrow_mut(|slot| {
        if let Some(runtime) = slot {
            return Ok(Rc::clone(runtime));
        }
        let runtime = Runtime::new()
            .map(Rc::new)
            .map_err(|error| EvaluationError::Interpreter(error.to_string()))?;
        *slot = Some(Rc::clone(&runtime));
        Ok(runtime)
    })
}

impl Evaluator for QuickJs {
    fn evaluate(&self, script: &Script<'_>) -> Result<Value, EvaluationError> {
        let runtime = runtime()?;
        let started = Instant::now();
        let limit = self.limits.time;
        runtime.set_memory_limit(self.limits.memory);
        runtime.set_max_stack_size(self.limits.stack);
        runtime.set_interrupt_handler(Some(Box::new(move || started.elapsed() > limit)));
        let context = rquickjs::Context::full(&runtime)
            .map_err(|error| EvaluationError::Interpreter(error.to_string()))?;
        let result = context.with(|context| run(&context, script));
        drop(context);
        match result {
            Ok(text) => parse_json(&text, &RESULT_LIMITS)
                .map_err(|error| EvaluationError::Limit(format!("its result: {error}"))),
            Err(failure) => {
                // A script that filled the heap or was cut off leaves no interpreter to build upon.
                RUNTIME.with_borrow_mut(|slot| *slot = None);
                Err(if started.elapsed() > limit {
                    let seconds = limit.as_secs_f64();
                    EvaluationError::Limit(format!("it ran longer than {seconds} s"))
                } else {
                    failure
                })
            }
        }
    }
}

fn run(context: &Ctx<'_>, script: &Script<'_>) -> Result<String, EvaluationError> {
    let caught = |result: rquickjs::Result<Option<String>>| {
        result
            .catch(context)
            .map_err(|error| describe(&error))
            .map(|text| text.unwrap_or_else(|| "null".to_owned()))
    };
    caught((|| {
        let globals = context.globals();
        for (name, value) in [
            ("inputs", &script.inputs),
            ("self", &script.own),
            ("runtime", &script.runtime),
        ] {
            globals.set(name, context.json_parse(value.to_string())?)?;
        }
        for library in script.library.iter() {
            context.eval::<(), _>(library.as_str())?;
        }
        let source = format!("(function () {{\n{}\n}})", script.body);
        let function: Function<'_> = context.eval(source)?;
        let result: rquickjs::Value<'_> = function.call(())?;
        let text = context.json_stringify(result)?;
        text.as_ref().map(JsString::to_string).transpose()
    })())
}

fn describe(error: &CaughtError<'_>) -> EvaluationError {
    match error {
        CaughtError::Exception(exception) => {
            let message = exception.message().unwrap_or_default();
            if message.contains("out of memory") {
                return EvaluationError::Limit("it needed too much memory".to_owned());
            }
            if message.contains("stack overflow") || message.contains("call stack") {
                return EvaluationError::Limit("it nested too deep".to_owned());
            }
            EvaluationError::Script(message)
        }
        CaughtError::Value(value) => {
            let thrown = value
                .as_string()
                .and_then(|text| text.to_string().ok())
                .unwrap_or_else(|| "it threw a value that is no error".to_owned());
            EvaluationError::Script(thrown)
        }
        CaughtError::Error(error) => EvaluationError::Script(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use serde_json::json;

    fn evaluate(body: &str, library: &[String]) -> Result<Value, EvaluationError> {
        let limits = ScriptLimits {
            time: Duration::from_millis(300),
            memory: 16 * 1024 * 1024,
            stack: 256 * 1024,
        };
        QuickJs::new(limits).evaluate(&Script {
            body: Cow::Borrowed(body),
            library: Cow::Borrowed(library),
            inputs: Cow::Owned(json!({"n": 20, "name": "ü\u{1f600}"})),
            own: Cow::Owned(json!([1, 2])),
            runtime: Cow::Owned(json!({"cores": 2})),
        })
    }

    #[test]
    fn a_script_sees_its_globals_and_gives_json_back() {
        let body = "return {sum: inputs.n + self[1] + runtime.cores, name: inputs.name};";
        assert_eq!(
            evaluate(body, &[]),
            Ok(json!({"sum": 24, "name": "ü\u{1f600}"}))
        );
        assert_eq!(evaluate("return undefined;", &[]), Ok(Value::Null));
        assert_eq!(evaluate("", &[]), Ok(Value::Null));
    }

    #[test]
    fn a_library_is_there_and_what_a_script_leaves_is_not() {
        let library = ["var count = 0; function next() { return ++count; }".to_owned()];
        assert_eq!(evaluate("return next();", &library), Ok(json!(1)));
        let pollute = "Array.prototype.x = 5; count = 9; return next();";
        assert_eq!(evaluate(pollute, &library), Ok(json!(10)));
        assert_eq!(evaluate("return next();", &library), Ok(json!(1)));
        assert_eq!(evaluate("return [].x;", &[]), Ok(Value::Null));
    }

    #[test]
    fn scripts_are_strict_and_have_no_host_objects() {
        assert!(evaluate("undeclared = 1; return 1;", &[]).is_err());
        for name in [
            "require",
            "process",
            "std",
            "os",
            "fetch",
            "setTimeout",
            "print",
        ] {
            let body = format!("return typeof {name};");
            assert_eq!(evaluate(&body, &[]), Ok(json!("undefined")), "{name}");
        }
    }

    #[test]
    fn a_fault_says_what_is_wrong() {
        let error = evaluate("return inputs.a.b;", &[]).unwrap_err();
        assert!(error.to_string().contains("undefined"), "{error}");
        let thrown = evaluate("throw 'no bands';", &[]).unwrap_err();
        assert_eq!(thrown, EvaluationError::Script("no bands".to_owned()));
    }

    #[test]
    fn endless_and_greedy_scripts_end_in_an_error() {
        for body in [
            "while (true) {}",
            "return 'x'.repeat(1e9);",
            "var a = []; while (true) a.push(new Array(1000).fill(1));",
            "function f() { return f() + 1; } return f();",
            "return /^(a+)+$/.test('a'.repeat(40) + 'b');",
        ] {
            let error = evaluate(body, &[]).unwrap_err();
            assert!(
                matches!(error, EvaluationError::Limit(_)),
                "{body}: {error}"
            );
        }
        assert_eq!(evaluate("return 1;", &[]), Ok(json!(1)));
    }
}
