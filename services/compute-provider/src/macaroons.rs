//! Macaroons for attempts that run here, as our own services ask for them.

use oc_auth::Caveat;
use oc_kernel::AttemptId;

use crate::attempts::generation;
use crate::convert::parse;
use crate::documents::attempt_key;
use crate::domain::step::StepAttempt;
use crate::error::Error;
use crate::provider::Provider;
use crate::tokens::Opens;

impl Provider {
    /// A macaroon for an attempt that runs here, narrowed by more caveats.
    pub(crate) async fn mint_macaroon(
        &self,
        attempt: &AttemptId,
        caveats: &[String],
    ) -> Result<String, Error> {
        let running = || Error::unknown("running attempt", attempt);
        let key = self.live.find(attempt).ok_or_else(running)?;
        let document = attempt_key(&key.org, &key.attempt);
        let attempt = self.shelf.attempts.require(&document).await?.value;
        let payload = self.shelf.payloads.require(&document).await?.value;
        let opens = Opens {
            key: &key,
            inputs: payload
                .inputs
                .iter()
                .map(|input| input.object.name.clone())
                .collect(),
            prefix: &attempt.output.prefix,
            output_bytes: attempt.egress.map_or(u64::MAX, |limits| limits.attempt),
            until_ms: attempt.until_ms,
            generation: generation(&attempt),
        };
        let mut macaroon = self.tokens.for_attempt(&opens);
        for text in caveats {
            let caveat: Caveat = parse("caveats", text)?;
            macaroon = macaroon.with(&caveat);
        }
        Ok(macaroon.to_text())
    }

    /// Whether a macaroon is good for a use by an attempt, and why not.
    pub(crate) async fn validate_macaroon(
        &self,
        macaroon: &str,
        attempt: &AttemptId,
        operation: &str,
        name: &str,
    ) -> Result<Result<(), String>, Error> {
        let Some(key) = self.live.find(attempt) else {
            return Ok(Err(format!("attempt {attempt} does not run here")));
        };
        let step = StepAttempt {
            fragment: key.fragment,
            attempt: key.attempt,
        };
        let checked = match operation {
            "input" => {
                self.check_input(step, macaroon, &parse("name", name)?)
                    .await
            }
            "output" => {
                self.check_output(step, macaroon, &parse("name", name)?)
                    .await
            }
            _ => {
                return Err(Error::Malformed {
                    field: "operation",
                    reason: "write `input` or `output`".to_owned(),
                });
            }
        };
        Ok(checked.map_err(|error| error.to_string()))
    }
}
