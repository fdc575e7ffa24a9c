//! Why something is as it is, in a stable word for programs and a sentence for people, and what
//! follows from it.

use jiff::Timestamp;
use oc_kernel::OrgId;
use serde::{Deserialize, Serialize};

/// Why something is in the state it is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// A short stable word, one of [`code`] or a partner's own.
    pub code: String,
    /// One sentence for a person.
    pub text: String,
    /// The organisation that caused it.
    pub by: OrgId,
    /// When.
    pub at: Timestamp,
    /// What a person can do; empty when nothing is needed.
    pub advice: String,
}

impl Cause {
    /// A cause with the advice that belongs to its code.
    pub fn new(code: &str, text: impl Into<String>, by: OrgId, at: Timestamp) -> Self {
        Self {
            code: code.to_owned(),
            text: text.into(),
            by,
            at,
            advice: rule(code).map_or("", |rule| rule.advice).to_owned(),
        }
    }

    /// Whether a new attempt has a chance, and where.
    pub fn remedy(&self) -> Remedy {
        rule(&self.code).map_or(Remedy::None, |rule| rule.remedy)
    }

    /// True for the same word and sentence by the same organisation, whenever it was.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        (&self.code, &self.text, self.by) == (&other.code, &other.text, other.by)
    }
}

/// What a new attempt could mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Remedy {
    /// Nothing: the same would happen again.
    None,
    /// A new attempt at the same site.
    Again,
    /// A new attempt at another site; the same one would refuse again.
    Elsewhere,
    /// A new attempt at another site, or at the same one when there is no other.
    ElsewhereOrAgain,
}

/// The words that causes carry.
pub mod code {
    /// Checked and planned.
    pub const PLANNED: &str = "planned";
    /// The last thing it waited for is there.
    pub const READY: &str = "ready";
    /// A hold is asked for.
    pub const RESERVING: &str = "reserving";
    /// A hold is there.
    pub const RESERVED: &str = "reserved";
    /// The site has the fragment.
    pub const SUBMITTED: &str = "submitted";
    /// The site goes on.
    pub const PROGRESS: &str = "progress";
    /// All went well.
    pub const SUCCEEDED: &str = "succeeded";
    /// Results are where they were wanted.
    pub const PUBLISHED: &str = "published";
    /// A person stopped it.
    pub const CANCELLED: &str = "cancelled";
    /// A person started it again.
    pub const RETRIED: &str = "retried";
    /// It waits for other fragments.
    pub const UPSTREAM: &str = "upstream";
    /// Another part of the run failed.
    pub const RUN_ENDING: &str = "run-ending";
    /// A tool ended with an error.
    pub const TOOL_FAILED: &str = "tool-failed";
    /// It took longer than allowed.
    pub const TIMED_OUT: &str = "timed-out";
    /// A tool wanted more memory than its step asks for.
    pub const OVER_MEMORY: &str = "over-memory";
    /// An input or output could not be moved.
    pub const TRANSFER_FAILED: &str = "transfer-failed";
    /// No capacity within the waiting time.
    pub const FULL: &str = "grant-full";
    /// A limit would be passed.
    pub const OVER_LIMIT: &str = "over-limit";
    /// There is no grant.
    pub const NO_GRANT: &str = "grant-missing";
    /// The grant has ended.
    pub const GRANT_EXPIRED: &str = "grant-expired";
    /// The grant was taken back.
    pub const GRANT_REVOKED: &str = "grant-revoked";
    /// The grant was taken back or changed under the attempt.
    pub const GRANT_RAISED: &str = "grant-raised";
    /// The partner knows the grant no more.
    pub const GRANT_GONE: &str = "grant-gone";
    /// What was offered is offered no more.
    pub const OFFER_WITHDRAWN: &str = "offer-withdrawn";
    /// The partner does not answer.
    pub const UNREACHABLE: &str = "unreachable";
    /// The partner answers again.
    pub const REACHED: &str = "reached";
    /// The lease could not be renewed in time.
    pub const LEASE_LOST: &str = "lease-lost";
    /// The site lost the attempt itself: its node stopped or broke down.
    pub const NODE_RESTARTED: &str = "node-restarted";
    /// The site took its machines back from under the attempt.
    pub const BY_PROVIDER: &str = "by-provider";
    /// A hold ended before it was used.
    pub const HOLD_LAPSED: &str = "hold-lapsed";
    /// The site has no sandbox.
    pub const NO_SANDBOX: &str = "sandbox-missing";
    /// The site cannot run such a thing.
    pub const UNSUPPORTED: &str = "unsupported";
    /// An image that was counted is no longer there.
    pub const DATA_GONE: &str = "data-gone";
    /// Bytes arrived that are not those announced.
    pub const CHECKSUM: &str = "checksum-mismatch";
    /// A storage has no room left.
    pub const STORAGE_FULL: &str = "storage-full";
    /// A disk is full.
    pub const DISK_FULL: &str = "disk-full";
    /// Two clocks differ by too much.
    pub const CLOCK_SKEW: &str = "clock-skew";
    /// The books of a grant are disputed.
    pub const DISPUTE: &str = "dispute";
    /// It would cost more than was agreed to.
    pub const TOO_DEAR: &str = "too-dear";
    /// The other side does not allow it.
    pub const REFUSED: &str = "refused";
    /// A defect, here or there.
    pub const INTERNAL: &str = "internal";
}

struct Rule {
    remedy: Remedy,
    advice: &'static str,
}

fn rule(word: &str) -> Option<Rule> {
    use Remedy::{Again, Elsewhere, ElsewhereOrAgain, None as Hopeless};
    let (remedy, advice) = match word {
        code::TOOL_FAILED => (
            Hopeless,
            "read the step's last log lines, mend the workflow or its inputs, and start again",
        ),
        code::TIMED_OUT => (
            Hopeless,
            "raise the step's ToolTimeLimit or give it less work",
        ),
        code::OVER_MEMORY => (
            Hopeless,
            "raise ramMin in the step's ResourceRequirement, or give it less work",
        ),
        code::TRANSFER_FAILED => (
            Hopeless,
            "see with `opencloud peers` whether the owner of the data answers, then start again with `opencloud retry`",
        ),
        code::FULL => (
            ElsewhereOrAgain,
            "wait, ask for larger limits, or place the step elsewhere",
        ),
        code::OVER_LIMIT => (
            Elsewhere,
            "ask for a grant with larger limits, or place the step elsewhere, in a new run",
        ),
        code::NO_GRANT => (Elsewhere, "ask the owner for a grant, and start a new run"),
        code::GRANT_EXPIRED | code::GRANT_REVOKED => (
            Elsewhere,
            "ask the owner for a new grant, or place the step elsewhere, in a new run",
        ),
        code::GRANT_RAISED => (
            Again,
            "see what became of the grant with `opencloud grant list`, and ask the owner for a new one",
        ),
        code::GRANT_GONE => (
            Elsewhere,
            "see who is there with `opencloud peers`: if they are back, ask for a new grant, or place the step elsewhere, \
             in a new run",
        ),
        code::OFFER_WITHDRAWN => (
            Elsewhere,
            "see what is offered with `opencloud catalog search`, and place the step elsewhere, in a new run",
        ),
        code::UNREACHABLE => (
            ElsewhereOrAgain,
            "check the network here; if others answer, this partner's node is down, has left the network, or blocks us: \
             ask their operator",
        ),
        code::LEASE_LOST => (
            ElsewhereOrAgain,
            "check the network between both organisations; after the last attempt start again with `opencloud retry`",
        ),
        code::NODE_RESTARTED => (
            ElsewhereOrAgain,
            "start again with `opencloud retry`; if it happens again, ask the site's operator why its node stops",
        ),
        code::BY_PROVIDER => (
            ElsewhereOrAgain,
            "ask the site's operator why, or place the step elsewhere, in a new run",
        ),
        code::HOLD_LAPSED => (Again, "start again with `opencloud retry`"),
        code::NO_SANDBOX => (
            Elsewhere,
            "ask the site's operator to install bubblewrap, or place the step elsewhere",
        ),
        code::UNSUPPORTED => (Elsewhere, "place the step at a site that can run it"),
        code::DATA_GONE => (
            Hopeless,
            "start a new run: what it reads was removed, or replaced by something else",
        ),
        code::CHECKSUM => (
            Again,
            "start again with `opencloud retry`; if it happens again the file is damaged at its owner: tell them",
        ),
        code::STORAGE_FULL => (
            Hopeless,
            "make room with `opencloud storage remove`, offer more, or start again with another `--storage`",
        ),
        code::DISK_FULL => (
            ElsewhereOrAgain,
            "ask the site's operator to free disk space",
        ),
        code::CLOCK_SKEW => (
            Hopeless,
            "set both organisations' clocks by NTP; `opencloud doctor` says whose differs",
        ),
        code::DISPUTE => (
            Elsewhere,
            "see with `opencloud usage books` what is disputed; the provider answers with `opencloud usage correct`, and \
             nothing begins before that",
        ),
        code::TOO_DEAR => (
            Hopeless,
            "start a new run: its plan names the price before you agree to it",
        ),
        code::CANCELLED => (
            Hopeless,
            "nothing, or start what is left of it again with `opencloud retry`",
        ),
        code::REFUSED => (Hopeless, "ask the other organisation's operator"),
        code::INTERNAL => (Again, "look into the service's log"),
        _ => return None,
    };
    Some(Rule { remedy, advice })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(code: &str) -> Cause {
        Cause::new(code, "", OrgId::from_digest([1; 32]), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_failure_says_what_to_do_and_a_step_on_the_way_does_not() {
        assert!(cause(code::LEASE_LOST).advice.contains("network"));
        assert!(cause(code::SUBMITTED).advice.is_empty());
    }

    #[test]
    fn a_word_that_is_not_known_is_not_tried_again() {
        assert_eq!(cause("solar-flare").remedy(), Remedy::None);
        assert_eq!(cause(code::TOOL_FAILED).remedy(), Remedy::None);
        assert_eq!(cause(code::NO_SANDBOX).remedy(), Remedy::Elsewhere);
    }
}
