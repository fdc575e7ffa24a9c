//! Statements inside envelopes: sealing, opening, and the checks every statement goes through. It
//! knows the network and the time as parameters and fetches nothing.

use crate::dsse::Envelope;
use crate::error::{OpenError, SignError};
use crate::purpose::Purpose;
use async_trait::async_trait;
use ed25519_dalek::VerifyingKey;
use oc_kernel::{Digest, Name};
use serde::{Serialize, de::DeserializeOwned};

/// Tolerated difference between two organisations' clocks, in ms (architecture, decision 4).
pub const SKEW_MS: u64 = 30_000;

/// Something an organisation states and signs. Implementations refuse unknown fields when they are
/// read, so that a restriction from a newer version stops an older reader.
pub trait Statement: Serialize + DeserializeOwned {
    /// The media type, with the version.
    const TYPE: &'static str;
    /// The purpose of the key that signs it.
    const PURPOSE: Purpose;
    /// How long past its end it still opens, in ms. Authority sets this to zero: ten seconds after
    /// its end nothing may open by it.
    const END_SKEW_MS: u64 = SKEW_MS;

    /// Where and when it holds.
    fn scope(&self) -> Scope<'_>;

    /// The rules of the type beyond its form.
    ///
    /// # Errors
    /// The rule that is broken, as a sentence for people.
    fn check(&self) -> Result<(), String>;
}

/// Where and when a statement holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope<'a> {
    /// The network it was made for.
    pub network: &'a Name,
    /// Its begin, in ms since the epoch.
    pub not_before: u64,
    /// Its end, in ms since the epoch.
    pub not_after: u64,
}

/// What the receiver knows about the place and the time.
#[derive(Debug, Clone, Copy)]
pub struct Here<'a> {
    /// The network the statement came over.
    pub network: &'a Name,
    /// The time, in ms since the epoch.
    pub now_ms: u64,
}

/// Where keys are looked up.
pub trait Keys {
    /// The key of that purpose and id.
    fn key(&self, purpose: Purpose, key_id: &str) -> Option<&VerifyingKey>;
}

/// Makes signatures. In a service, discovery stands behind it; it signs only what is the duty of
/// the service that asks.
#[async_trait]
pub trait Signer: Send + Sync {
    /// Signs `payload`, byte for byte, as `payload_type`.
    async fn sign(&self, payload_type: &str, payload: &[u8]) -> Result<Envelope, SignError>;
}

/// A statement whose signatures were checked, with the bytes it came in.
#[derive(Debug, Clone, PartialEq)]
pub struct Sealed<T> {
    bytes: Vec<u8>,
    envelope: Envelope,
    statement: T,
}

impl<T> Sealed<T> {
    /// The envelope's JSON, as it came or was made: what to store and to pass on.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What is stated.
    pub fn statement(&self) -> &T {
        &self.statement
    }

    /// The statement alone.
    pub fn into_statement(self) -> T {
        self.statement
    }

    /// Names the statement: the digest of the bytes that are signed, whoever signed them.
    pub fn digest(&self) -> Digest {
        self.envelope.digest()
    }

    /// The envelope.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }
}

/// Seals a statement with one signature.
///
/// # Errors
/// When the statement breaks a rule of its type or the signer refuses.
pub async fn seal<T: Statement>(signer: &dyn Signer, statement: T) -> Result<Sealed<T>, SignError> {
    check::<T>(&statement).map_err(SignError::Rule)?;
    let payload = serde_json::to_vec(&statement).map_err(|e| SignError::Rule(e.to_string()))?;
    let envelope = signer.sign(T::TYPE, &payload).await?;
    if envelope.payload_type != T::TYPE || envelope.payload != payload {
        return Err(SignError::Unavailable("it signed something else".into()));
    }
    Ok(Sealed {
        bytes: envelope.to_json(),
        envelope,
        statement,
    })
}

/// Adds a signature to a statement that is sealed: the same bytes, one signer more.
///
/// # Errors
/// When the signer refuses.
pub async fn countersign<T: Statement>(
    signer: &dyn Signer,
    sealed: Sealed<T>,
) -> Result<Sealed<T>, SignError> {
    let mut envelope = sealed.envelope;
    let added = signer.sign(T::TYPE, &envelope.payload).await?;
    if added.payload_type != T::TYPE || added.payload != envelope.payload {
        return Err(SignError::Unavailable("it signed something else".into()));
    }
    for signature in added.signatures {
        if !envelope.signatures.contains(&signature) {
            envelope.signatures.push(signature);
        }
    }
    Ok(Sealed {
        bytes: envelope.to_json(),
        envelope,
        statement: sealed.statement,
    })
}

/// Opens a statement that one organisation signed.
///
/// # Errors
/// When it is malformed, of another type, not signed by one of `keys`, for another network, or out
/// of its time.
pub fn open<T: Statement>(
    bytes: &[u8],
    keys: &dyn Keys,
    here: &Here<'_>,
) -> Result<Sealed<T>, OpenError> {
    let unverified = Unverified::parse(bytes)?;
    unverified.signed_by(keys)?;
    unverified.accept(here)
}

/// Opens a statement as evidence of the past: everything is checked but the time and the network.
///
/// # Errors
/// When it is malformed, of another type, or not signed by one of `keys`.
pub fn open_evidence<T: Statement>(bytes: &[u8], keys: &dyn Keys) -> Result<Sealed<T>, OpenError> {
    let unverified = Unverified::parse(bytes)?;
    unverified.signed_by(keys)?;
    Ok(unverified.accept_as_evidence())
}

/// A statement that was read and not yet believed: enough to find out whose keys to look up.
#[derive(Debug)]
pub struct Unverified<T>(Sealed<T>);

impl<T: Statement> Unverified<T> {
    /// Reads the envelope and the statement in it.
    ///
    /// # Errors
    /// When either is malformed, too long, or of another type, or breaks a rule of the type.
    pub fn parse(bytes: &[u8]) -> Result<Self, OpenError> {
        let envelope = Envelope::from_json(bytes)?;
        if envelope.payload_type != T::TYPE {
            return Err(OpenError::Type {
                expected: T::TYPE,
                found: envelope.payload_type,
            });
        }
        let statement: T =
            serde_json::from_slice(&envelope.payload).map_err(OpenError::malformed)?;
        check(&statement).map_err(OpenError::Rule)?;
        Ok(Self(Sealed {
            bytes: bytes.to_vec(),
            envelope,
            statement,
        }))
    }

    /// What it claims.
    pub fn claim(&self) -> &T {
        &self.0.statement
    }

    /// Checks that a key of `keys` signed it.
    ///
    /// # Errors
    /// When none has.
    pub fn signed_by(&self, keys: &dyn Keys) -> Result<(), OpenError> {
        self.0
            .envelope
            .verify(|key_id| keys.key(T::PURPOSE, key_id))
            .map(|_| ())
    }

    /// Accepts it here and now. The caller has checked the signatures by [`Unverified::signed_by`].
    ///
    /// # Errors
    /// When it is for another network or out of its time.
    pub(crate) fn accept(self, here: &Here<'_>) -> Result<Sealed<T>, OpenError> {
        let scope = self.0.statement.scope();
        if scope.network != here.network {
            return Err(OpenError::Network {
                expected: here.network.to_string(),
                found: scope.network.to_string(),
            });
        }
        if scope.not_before > here.now_ms.saturating_add(SKEW_MS) {
            return Err(OpenError::NotYet {
                ahead_ms: scope.not_before - here.now_ms,
            });
        }
        if here.now_ms >= scope.not_after.saturating_add(T::END_SKEW_MS) {
            return Err(OpenError::Expired {
                ago_ms: here.now_ms - scope.not_after,
            });
        }
        Ok(self.0)
    }

    pub(crate) fn accept_as_evidence(self) -> Sealed<T> {
        self.0
    }
}

fn check<T: Statement>(statement: &T) -> Result<(), String> {
    let scope = statement.scope();
    if scope.not_before >= scope.not_after {
        return Err("a statement must begin before it ends".into());
    }
    statement.check()
}
