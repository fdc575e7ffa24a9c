//! The messages of the federation, and who sends them.

use oc_kernel::{AttemptId, Digest, FragmentId, Name, RunId};
use oc_proto::federation::v1 as fed;
use oc_proto::types::v1 as types;
use oc_service::OrStatus as _;
use prost::Message;
use tonic::{Request, Status};

use crate::attempts::{Consumer, NewAttempt, Standing};
use crate::convert::parse;
use crate::documents::{Input, Recorded, RecordedEvent};
use crate::domain::attempt::{AttemptKey, OperationKey};
use crate::domain::grant::ms;
use crate::domain::ledger::{EndedState, StopCause};
use crate::domain::metering::Usage;
use crate::domain::runtime::{InputObject, OutputPrefix, Phase, Role};
use crate::error::Error;
use crate::provider::Provider;

/// Who calls, and the network a partner's call came over.
pub(super) struct Calling {
    pub(super) consumer: Consumer,
    pub(super) network: Option<Name>,
}

pub(super) async fn calling<T: Sync>(
    provider: &Provider,
    request: &Request<T>,
) -> Result<Calling, Status> {
    let caller = oc_door::caller(&provider.ports.door, request).await?;
    let network = caller
        .network
        .as_deref()
        .map(|id| parse("network", id))
        .transpose();
    Ok(Calling {
        consumer: Consumer {
            org: caller.org,
            own: caller.own,
        },
        network: network.or_status()?,
    })
}

/// Names a request by its bytes: the same operation with other bytes is another request.
pub(super) fn digest_of(message: &impl Message) -> Digest {
    Digest::of(&message.encode_to_vec())
}

/// A field that may be empty.
pub(super) fn optional<T>(field: &'static str, text: &str) -> Result<Option<T>, Error>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    if text.is_empty() {
        Ok(None)
    } else {
        parse(field, text).map(Some)
    }
}

pub(super) fn attempt_key(
    consumer: &Consumer,
    run: &str,
    fragment: &str,
    attempt: &str,
) -> Result<AttemptKey, Error> {
    Ok(AttemptKey {
        org: consumer.org,
        run: parse::<RunId>("run_id", run)?,
        fragment: parse::<FragmentId>("fragment_id", fragment)?,
        attempt: parse::<AttemptId>("attempt_id", attempt)?,
    })
}

pub(super) fn new_attempt(
    calling: Calling,
    request: fed::SubmitRequest,
) -> Result<NewAttempt, Error> {
    let body = digest_of(&request);
    let missing = |field| Error::Malformed {
        field,
        reason: "it is missing".to_owned(),
    };
    let spec = request.fragment.ok_or_else(|| missing("fragment"))?;
    let key = attempt_key(
        &calling.consumer,
        &spec.run_id,
        &spec.fragment_id,
        &spec.attempt_id,
    )?;
    let output = spec.output.ok_or_else(|| missing("fragment.output"))?;
    let inputs = spec
        .inputs
        .into_iter()
        .map(input)
        .collect::<Result<Vec<_>, _>>()?;
    for (at, input) in inputs.iter().enumerate() {
        let same = |other: &Input| other.object.name == input.object.name;
        if inputs[..at].iter().any(same) {
            return Err(Error::Invalid {
                field: "fragment.inputs",
                reason: format!("`{}` is named twice", input.object.name),
            });
        }
    }
    Ok(NewAttempt {
        consumer: calling.consumer,
        network: calling.network,
        key: OperationKey {
            attempt: key,
            operation: parse("operation_id", &request.operation_id)?,
        },
        body,
        reservation: parse("reservation_id", &request.reservation_id)?,
        delegation: request.delegation,
        document: spec.cwl_json,
        job: spec.job_json,
        inputs,
        output: OutputPrefix {
            owner: parse("fragment.output.owner", &output.owner)?,
            listing: optional("fragment.output.listing_id", &output.listing_id)?,
            prefix: parse("fragment.output.prefix", &output.prefix)?,
        },
        output_delegation: texts("fragment.output.delegation", output.delegation)?,
        pseudonym: parse("fragment.pseudonym", &spec.pseudonym)?,
        workflow: spec.workflow.chars().take(256).collect(),
        digest: spec.digest,
    })
}

fn input(message: fed::StagedInput) -> Result<Input, Error> {
    let object = message.object.ok_or_else(|| Error::Malformed {
        field: "fragment.inputs.object",
        reason: "it is missing".to_owned(),
    })?;
    let role = match object.role.as_str() {
        "data" => Role::Data,
        "objects" => Role::Objects,
        other => {
            return Err(Error::Malformed {
                field: "fragment.inputs.object.role",
                reason: format!("`{other}` is neither `data` nor `objects`"),
            });
        }
    };
    let reservation = message.reservation_id;
    Ok(Input {
        object: InputObject {
            name: parse("fragment.inputs.name", &message.name)?,
            basename: basename(message.basename)?,
            owner: parse("fragment.inputs.object.owner", &object.owner)?,
            role,
            object: parse("fragment.inputs.object.key", &object.key)?,
            reservation: (!reservation.is_empty()).then_some(reservation),
            sha256: parse("fragment.inputs.object.sha256", &object.sha256)?,
            length: object.length,
        },
        delegation: texts("fragment.inputs.delegation", message.delegation)?,
    })
}

/// A file name that is one segment of a path.
fn basename(text: String) -> Result<String, Error> {
    let refused = text.is_empty()
        || text.len() > 255
        || text == "."
        || text == ".."
        || text.contains(['/', '\0']);
    if refused {
        return Err(Error::Malformed {
            field: "fragment.inputs.basename",
            reason: format!(
                "`{}` is no file name",
                text.chars().take(80).collect::<String>()
            ),
        });
    }
    Ok(text)
}

fn texts(field: &'static str, envelopes: Vec<Vec<u8>>) -> Result<Vec<String>, Error> {
    let text = |bytes| {
        String::from_utf8(bytes).map_err(|_| Error::Malformed {
            field,
            reason: "an envelope is JSON".to_owned(),
        })
    };
    envelopes.into_iter().map(text).collect()
}

pub(super) fn standing_message(standing: Standing) -> fed::AttemptState {
    match standing {
        Standing::Submitted => fed::AttemptState::Submitted,
        Standing::At(Phase::Staging) => fed::AttemptState::Staging,
        Standing::At(Phase::Running) => fed::AttemptState::Running,
        Standing::At(Phase::Storing) => fed::AttemptState::Storing,
        Standing::Ended(state) => ended_message(state),
    }
}

fn ended_message(state: EndedState) -> fed::AttemptState {
    match state {
        EndedState::Succeeded => fed::AttemptState::Succeeded,
        EndedState::Failed => fed::AttemptState::Failed,
        EndedState::Stopped(StopCause::Released) => fed::AttemptState::Cancelled,
        EndedState::Stopped(_) => fed::AttemptState::Lost,
    }
}

/// The stable word of an end.
fn code_of(state: EndedState) -> String {
    match state {
        EndedState::Succeeded => "succeeded".to_owned(),
        EndedState::Failed => "tool-failed".to_owned(),
        EndedState::Stopped(cause) => match serde_json::to_value(cause) {
            Ok(serde_json::Value::String(word)) => word,
            _ => "stopped".to_owned(),
        },
    }
}

pub(super) fn event_message(org: &str, number: u64, record: Recorded) -> fed::WatchResponse {
    use fed::watch_response::Event;
    let at_ms = ms(record.at);
    let state = |state: fed::AttemptState, code: &str, text: String| {
        let cause = types::Cause {
            code: code.to_owned(),
            text,
            org_id: org.to_owned(),
            at_ms,
            advice: String::new(),
        };
        Event::State(fed::StateChanged {
            state: state.into(),
            cause: Some(cause),
        })
    };
    let event = match record.event {
        RecordedEvent::Submitted => state(
            fed::AttemptState::Submitted,
            "submitted",
            "it has its lease and waits for the runtime".to_owned(),
        ),
        RecordedEvent::Phase(phase) => {
            let (code, text) = match phase {
                Phase::Staging => ("staging", "its inputs are fetched"),
                Phase::Running => ("running", "its tools run"),
                Phase::Storing => ("storing", "its outputs are stored"),
            };
            state(standing_message(Standing::At(phase)), code, text.to_owned())
        }
        RecordedEvent::Step(step) => Event::Step(fed::StepEvent {
            step: step.step,
            started: step.exit_code.is_none(),
            exit_code: step.exit_code.unwrap_or_default(),
        }),
        RecordedEvent::Log(line) => Event::Log(fed::LogLine {
            step: line.step,
            stream: if line.stderr { "stderr" } else { "stdout" }.to_owned(),
            text: line.text,
        }),
        RecordedEvent::Result {
            outputs,
            usage,
            objects,
        } => Event::Result(fed::AttemptResult {
            outputs_json: outputs,
            objects: objects
                .iter()
                .map(|it| {
                    let media_type = crate::storage::media_type_of(&it.key);
                    crate::convert::object_message(
                        &it.owner, &it.key, &it.sha256, it.length, media_type,
                    )
                })
                .collect(),
            usage: Some(usage_message(&usage)),
        }),
        RecordedEvent::Ended {
            state: ended,
            text,
            code,
        } => {
            let code = match code.is_empty() {
                true => code_of(ended),
                false => code,
            };
            state(ended_message(ended), &code, text)
        }
    };
    fed::WatchResponse {
        number,
        at_ms,
        event: Some(event),
    }
}

fn usage_message(usage: &Usage) -> fed::Usage {
    fed::Usage {
        started_ms: usage.started_ms,
        ended_ms: usage.ended_ms,
        wall_ms: usage.wall_ms,
        cpu_ms: usage.cpu_ms,
        peak_memory_bytes: usage.peak_memory_bytes,
        bytes_in: usage.bytes_in,
        bytes_out: usage.bytes_out,
        cores: usage.cores,
    }
}
