//! The life of a grant, as its provider and as its consumer keep it.
//!
//! `pending` until a rule or an administrator of the provider decides; `offered` once the provider has signed;
//! `active` once the consumer has signed too. It ends by its consumer (`ended`), its provider (`denied`,
//! `revoked`) or the time (`expired`). A revocation raises the generation, so that nothing signed
//! before opens anything. It knows no keys: signatures are checked before anything comes here.

mod refusal;
mod request;
mod rule;

use std::time::Duration;

use jiff::Timestamp;
use oc_kernel::{GrantId, Name, OrgId};
use oc_trust::{Grant as SignedGrant, Limits, Price, Tool};
use serde::{Deserialize, Serialize};

pub use refusal::{GrantError, NotInForce};
pub use request::{Asked, GrantRequest, Offered, RequestError, price_of};
pub use rule::{Decision, Rule, RuleError, decide, own_tools};

/// Where a grant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantState {
    /// Waits for the provider.
    Pending,
    /// Signed by the provider, waits for the consumer.
    Offered,
    /// In force.
    Active,
    /// Refused by the provider.
    Denied,
    /// Ended by the consumer.
    Ended,
    /// Taken back by the provider.
    Revoked,
    /// Past its end.
    Expired,
}

impl GrantState {
    /// Its word, as people and programs read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            GrantState::Pending => "pending",
            GrantState::Offered => "offered",
            GrantState::Active => "active",
            GrantState::Denied => "denied",
            GrantState::Ended => "ended",
            GrantState::Revoked => "revoked",
            GrantState::Expired => "expired",
        }
    }

    /// True while one side has still to say yes.
    pub const fn waits(self) -> bool {
        matches!(self, GrantState::Pending | GrantState::Offered)
    }

    /// True when nothing can follow.
    pub const fn over(self) -> bool {
        matches!(
            self,
            GrantState::Denied | GrantState::Ended | GrantState::Revoked | GrantState::Expired
        )
    }
}

impl std::fmt::Display for GrantState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a grant stands where it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Short stable word.
    pub code: String,
    /// One sentence for a person.
    pub text: String,
    /// Who caused it.
    pub org: OrgId,
    /// When.
    pub at: Timestamp,
}

impl Cause {
    /// Longest text that is kept, in bytes.
    pub const LONGEST_TEXT: usize = 1024;

    /// A cause; its text is cut where it is too long.
    pub fn new(code: &str, text: &str, org: OrgId, at: Timestamp) -> Self {
        let mut end = text.len().min(Self::LONGEST_TEXT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self {
            code: code.to_owned(),
            text: text[..end].to_owned(),
            org,
            at,
        }
    }
}

/// What the provider has agreed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    /// At most what was asked for.
    pub limits: Limits,
    /// What use costs.
    pub price: Price,
    /// The only tools that may read the data; none means any.
    pub tools: Option<Vec<Tool>>,
}

/// A grant as one of its two sides keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its id, made by the provider.
    pub id: GrantId,
    /// Who gives.
    pub provider: OrgId,
    /// Who uses and pays.
    pub consumer: OrgId,
    /// The network both are on.
    pub network: Name,
    /// What was asked for.
    pub request: GrantRequest,
    /// What was agreed on, once something was.
    pub agreed: Option<Agreed>,
    /// Where it stands.
    pub state: GrantState,
    /// Raised by a change and by a revocation.
    pub generation: u64,
    /// Why it stands there.
    pub cause: Cause,
    /// The newest signed form.
    pub envelope: Option<String>,
    /// True once what follows from its end was done everywhere: nothing runs, nothing of it is left.
    pub swept: bool,
}

impl Grant {
    fn refuse(&self, wanted: &'static str) -> GrantError {
        GrantError::State {
            id: self.id,
            state: self.state,
            wanted,
            cause: self.cause.text.clone(),
        }
    }

    /// The provider agrees, and is about to sign [`Grant::statement`].
    ///
    /// # Errors
    /// When it was decided before, or more is given than was asked for.
    pub fn agree(&mut self, agreed: Agreed) -> Result<(), GrantError> {
        if self.state != GrantState::Pending {
            return Err(self.refuse("approving it"));
        }
        agreed
            .limits
            .within(&self.request.limits)
            .map_err(GrantError::MoreThanAsked)?;
        self.agreed = Some(agreed);
        self.generation = self.generation.max(1);
        Ok(())
    }

    /// What both sides sign; none before the provider has agreed.
    pub fn statement(&self) -> Option<SignedGrant> {
        let agreed = self.agreed.as_ref()?;
        Some(SignedGrant {
            id: self.id,
            network: self.network.clone(),
            provider: self.provider,
            consumer: self.consumer,
            listings: self.request.listings.iter().map(Asked::granted).collect(),
            limits: agreed.limits,
            price: agreed.price,
            not_before: self.request.not_before_ms,
            not_after: self.request.not_after_ms,
            generation: self.generation,
            tools: agreed.tools.clone(),
            pseudonyms: oc_trust::Pseudonyms::PerGrant,
        })
    }

    /// The provider's signature is there.
    ///
    /// # Errors
    /// When it was decided otherwise meanwhile.
    pub fn offer(&mut self, envelope: String, cause: Cause) -> Result<(), GrantError> {
        if self.state == GrantState::Offered {
            return Ok(());
        }
        if self.state != GrantState::Pending || self.agreed.is_none() {
            return Err(self.refuse("offering it"));
        }
        self.state = GrantState::Offered;
        self.envelope = Some(envelope);
        self.cause = cause;
        Ok(())
    }

    /// Both signatures are there.
    ///
    /// # Errors
    /// When it is not on offer, or `signed` is not what was offered.
    pub fn accept(
        &mut self,
        signed: &SignedGrant,
        envelope: String,
        cause: Cause,
    ) -> Result<(), GrantError> {
        if self.statement().as_ref() != Some(signed) {
            return Err(GrantError::Other("offered"));
        }
        match self.state {
            GrantState::Active => Ok(()),
            GrantState::Offered => {
                self.state = GrantState::Active;
                self.envelope = Some(envelope);
                self.cause = cause;
                Ok(())
            }
            _ => Err(self.refuse("accepting it")),
        }
    }

    /// The provider says no to a request.
    ///
    /// # Errors
    /// When it was accepted before: then it can only be revoked.
    pub fn deny(&mut self, cause: Cause) -> Result<(), GrantError> {
        match self.state {
            GrantState::Denied => Ok(()),
            GrantState::Pending => {
                self.close(GrantState::Denied, cause);
                Ok(())
            }
            _ => Err(self.refuse("denying it")),
        }
    }

    /// The provider takes it back.
    ///
    /// # Errors
    /// When it was never given or is over.
    pub fn revoke(&mut self, cause: Cause) -> Result<(), GrantError> {
        match self.state {
            GrantState::Revoked => Ok(()),
            GrantState::Offered | GrantState::Active => {
                self.close(GrantState::Revoked, cause);
                Ok(())
            }
            GrantState::Pending => self.deny(cause),
            _ => Err(self.refuse("revoking it")),
        }
    }

    /// The consumer ends it; one that is over stays as it is.
    pub fn end(&mut self, cause: Cause) {
        if !self.state.over() {
            self.close(GrantState::Ended, cause);
        }
    }

    /// Notes that its time has passed; true when that was news.
    pub fn expire(&mut self, now: Timestamp) -> bool {
        let due = !self.state.over() && ms(now) >= self.request.not_after_ms;
        if due {
            let cause = Cause::new("expired", "its end was reached", self.provider, now);
            self.close(GrantState::Expired, cause);
        }
        due
    }

    /// Notes that nobody acted on a request, or on what was offered for it, for so long; true when that was news.
    pub fn lapse(&mut self, now: Timestamp, patience: Duration) -> bool {
        let why = match self.state {
            GrantState::Pending => "nobody decided about the request in time",
            GrantState::Offered => "its consumer did not sign it in time",
            _ => return false,
        };
        let waited = now.duration_since(self.cause.at);
        let due = waited >= patience.try_into().unwrap_or(jiff::SignedDuration::MAX);
        if due {
            let text = format!("{why}: ask again");
            self.close(
                GrantState::Expired,
                Cause::new("lapsed", &text, self.provider, now),
            );
        }
        due
    }

    fn close(&mut self, state: GrantState, cause: Cause) {
        self.state = state;
        self.generation += 1;
        self.cause = cause;
    }

    /// Checks that it is in force for `consumer`, this listing and this time.
    ///
    /// # Errors
    /// Why it is not.
    pub fn in_force(
        &self,
        consumer: &OrgId,
        listing: &Name,
        now: Timestamp,
    ) -> Result<(), GrantError> {
        // Others' grants do not exist for a caller.
        if self.consumer != *consumer {
            return Err(GrantError::Unknown(self.id.to_string()));
        }
        let refuse = |why| Err(GrantError::NotInForce { id: self.id, why });
        self.not_over(now)?;
        if ms(now).saturating_add(oc_trust::SKEW_MS) < self.request.not_before_ms {
            return refuse(NotInForce::Ahead);
        }
        if !self.is_on(listing) {
            return refuse(NotInForce::NotCovered(listing.clone()));
        }
        Ok(())
    }

    /// True where it was asked for on that listing.
    pub fn is_on(&self, listing: &Name) -> bool {
        let mut listings = self.request.listings.iter();
        listings.any(|asked| asked.id == *listing)
    }

    /// Checks that it is active, in its time, and as it was when this generation of it was shown.
    ///
    /// # Errors
    /// Which of them it is not.
    pub fn still_in_force(&self, generation: u64, now: Timestamp) -> Result<(), GrantError> {
        self.not_over(now)?;
        if self.generation != generation {
            let why = NotInForce::Changed;
            return Err(GrantError::NotInForce { id: self.id, why });
        }
        Ok(())
    }

    fn not_over(&self, now: Timestamp) -> Result<(), GrantError> {
        let why = if self.state != GrantState::Active {
            NotInForce::State {
                state: self.state,
                cause: self.cause.text.clone(),
            }
        } else if ms(now) >= self.request.not_after_ms {
            NotInForce::Past
        } else {
            return Ok(());
        };
        Err(GrantError::NotInForce { id: self.id, why })
    }
}

pub(crate) fn ms(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
pub(crate) mod tests;
