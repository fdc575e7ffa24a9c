//! From what a runner measured to what is billed: the draft of a usage record.

use jiff::Timestamp;
use oc_kernel::{GrantId, OrgId};
use oc_trust::{Outcome, Price};

use super::attempt::AttemptKey;
use super::ledger::{EndedState, StopCause};
use super::resources::Resources;
use super::runtime::Measured;

/// What is known about an attempt that ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Which attempt.
    pub key: AttemptKey,
    /// The grant and its price; none for own work.
    pub grant: Option<(GrantId, Price)>,
    /// The pseudonym of the person.
    pub pseudonym: String,
    /// The name of the workflow.
    pub workflow: String,
    /// What it held.
    pub resources: Resources,
    /// When the runtime took it.
    pub started_at: Timestamp,
    /// When nothing of it was left.
    pub ended_at: Timestamp,
    /// How long its cores were held by this node's monotonic clock, in ms.
    pub held_ms: u64,
    /// What its runner measured; zero where the runner was lost.
    pub measured: Measured,
    /// Bytes that arrived at other organisations.
    pub bytes_out: u64,
    /// How it ended.
    pub state: EndedState,
}

/// The draft of a usage record; accounting numbers it, prices it and puts it into the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageDraft {
    /// Which attempt.
    pub key: AttemptKey,
    /// The grant and its price; none for own work.
    pub grant: Option<(GrantId, Price)>,
    /// Who provided.
    pub provider: OrgId,
    /// The pseudonym of the person.
    pub pseudonym: String,
    /// The name of the workflow.
    pub workflow: String,
    /// Begin in ms since the epoch.
    pub started_ms: u64,
    /// End in ms since the epoch.
    pub ended_ms: u64,
    /// How long the cores were held, in ms.
    pub wall_ms: u64,
    /// Processor time in ms.
    pub cpu_ms: u64,
    /// Most memory, in bytes.
    pub peak_memory_bytes: u64,
    /// Bytes fetched.
    pub bytes_in: u64,
    /// Bytes that arrived at other organisations.
    pub bytes_out: u64,
    /// Cores held.
    pub cores: u32,
    /// How it ended.
    pub outcome: Outcome,
}

/// Makes the draft. The wall time is this node's own, because that is how long the cores were held;
/// processor time and memory come from the runner and are cut at what the held machine could have given,
/// so that a runner's fault never becomes a partner's bill.
pub fn meter(provider: OrgId, finished: &Finished) -> UsageDraft {
    let most_cpu = finished
        .held_ms
        .saturating_mul(u64::from(finished.resources.cores));
    let measured = &finished.measured;
    let ms = |at: Timestamp| u64::try_from(at.as_millisecond()).unwrap_or(0);
    let started_ms = ms(finished.started_at);
    UsageDraft {
        key: finished.key,
        grant: finished.grant,
        provider,
        pseudonym: finished.pseudonym.clone(),
        workflow: finished.workflow.clone(),
        started_ms,
        ended_ms: ms(finished.ended_at).max(started_ms),
        wall_ms: finished.held_ms,
        cpu_ms: measured.cpu_ms.min(most_cpu),
        peak_memory_bytes: measured
            .peak_memory_bytes
            .min(finished.resources.memory_bytes),
        bytes_in: measured.bytes_in,
        bytes_out: finished.bytes_out,
        cores: finished.resources.cores,
        outcome: outcome(finished.state),
    }
}

fn outcome(state: EndedState) -> Outcome {
    match state {
        EndedState::Succeeded => Outcome::Succeeded,
        EndedState::Failed => Outcome::Failed,
        EndedState::Stopped(StopCause::Released) => Outcome::Cancelled,
        EndedState::Stopped(_) => Outcome::Lost,
    }
}

#[cfg(test)]
mod tests {
    use oc_kernel::{AttemptId, FragmentId, RunId};

    use super::*;

    fn finished() -> Finished {
        Finished {
            key: AttemptKey {
                org: OrgId::from_digest([1; 32]),
                run: RunId::new(),
                fragment: FragmentId::new(),
                attempt: AttemptId::new(),
            },
            grant: None,
            pseudonym: "p".into(),
            workflow: "w".into(),
            resources: Resources {
                cores: 2,
                memory_bytes: 1000,
            },
            started_at: Timestamp::from_millisecond(5000).unwrap(),
            ended_at: Timestamp::from_millisecond(6000).unwrap(),
            held_ms: 1000,
            measured: Measured {
                wall_ms: 900,
                cpu_ms: 1500,
                peak_memory_bytes: 800,
                bytes_in: 7,
                bytes_out: 9,
            },
            bytes_out: 8,
            state: EndedState::Succeeded,
        }
    }

    #[test]
    fn the_wall_time_is_how_long_the_cores_were_held() {
        let draft = meter(OrgId::from_digest([2; 32]), &finished());
        assert_eq!(
            (draft.wall_ms, draft.cpu_ms, draft.bytes_out),
            (1000, 1500, 8)
        );
        assert_eq!(
            (draft.started_ms, draft.ended_ms, draft.cores),
            (5000, 6000, 2)
        );
    }

    #[test]
    fn a_runner_cannot_bill_more_than_the_machine_could_have_given() {
        let mut lying = finished();
        lying.measured.cpu_ms = 99_999;
        lying.measured.peak_memory_bytes = 99_999;
        let draft = meter(OrgId::from_digest([2; 32]), &lying);
        assert_eq!((draft.cpu_ms, draft.peak_memory_bytes), (2000, 1000));
    }

    #[test]
    fn a_clock_set_back_never_makes_an_end_before_the_begin() {
        let mut odd = finished();
        odd.ended_at = Timestamp::from_millisecond(10).unwrap();
        let draft = meter(OrgId::from_digest([2; 32]), &odd);
        assert_eq!(draft.ended_ms, draft.started_ms);
    }

    #[test]
    fn who_stopped_an_attempt_decides_how_it_is_booked() {
        for (cause, booked) in [
            (StopCause::Released, Outcome::Cancelled),
            (StopCause::LeaseLost, Outcome::Lost),
            (StopCause::WallLimit, Outcome::Lost),
        ] {
            let mut stopped = finished();
            stopped.state = EndedState::Stopped(cause);
            assert_eq!(meter(OrgId::from_digest([2; 32]), &stopped).outcome, booked);
        }
    }
}
