//! What passes between a node and the runner it starts for an attempt: the job file, and the events that come back, one JSON
//! document a line. `services/step/README.md` describes the whole protocol.
//!
//! compute-provider writes what `oc-step` reads and the other way round, and neither may import the other: this is
//! the one place where both spell it. It only holds the types, and how long their texts may be. It knows no process, no file and no rule about what
//! may run, and both sides are of one release, so it has no versions.

mod bounds;
mod event;
mod job;

pub use bounds::{LINE, MESSAGE, OUTPUT_OBJECT, STEP, too_large};
pub use event::{End, Event, Phase, Report, Used};
pub use job::{Input, Job, Limits};

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_reads_as_it_was_written() {
        let events = [
            json!({"event": "phase", "phase": "staging"}),
            json!({"event": "progress", "bytes": 1, "of": 2}),
            json!({"event": "step-started", "step": "a"}),
            json!({"event": "step-ended", "step": "a", "exit_code": null, "used": {
                "wall_ms": 1, "cpu_ms": 2, "peak_memory_bytes": 3, "bytes_in": 4, "bytes_out": 5}}),
            json!({"event": "log", "step": "", "stderr": true, "text": "x"}),
            json!({"event": "heartbeat"}),
            json!({"event": "ended", "report": {"end": {"state": "stopped"}, "used": {
                "wall_ms": 0, "cpu_ms": 0, "peak_memory_bytes": 0, "bytes_in": 0, "bytes_out": 0}}}),
        ];
        for line in events {
            let event: Event = serde_json::from_value(line.clone()).unwrap();
            assert_eq!(serde_json::to_value(&event).unwrap(), line);
        }
    }

    #[test]
    fn a_job_with_a_field_the_runner_does_not_know_is_refused() {
        let job = json!({"document": "{}", "order": {}, "inputs": [], "node": "http://a", "folder": "/a",
            "limits": {"cores": 1, "memory_bytes": 1, "wall_ms": 1, "output_bytes": 1, "log_bytes": 1,
                       "disk_bytes": 1}});
        assert!(serde_json::from_value::<Job>(job.clone()).is_ok());
        let mut other = job;
        other["limits"]["threads"] = json!(2);
        let refused = serde_json::from_value::<Job>(other).unwrap_err();
        assert!(refused.to_string().contains("threads"), "{refused}");
    }
}
