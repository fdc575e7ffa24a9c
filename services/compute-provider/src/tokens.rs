//! Macaroons of this service: for a running attempt, and for one transfer of bytes.

use oc_auth::{Access, Ask, Caveat, Macaroon, MacaroonError, RootKey};
use oc_kernel::{AttemptId, FragmentId, GrantId, Name, ObjectKey, OrgId};
use oc_store::{Expect, StoreError};
use serde::{Deserialize, Serialize};

use crate::documents::{Secret, Shelf};
use crate::domain::attempt::AttemptKey;
use crate::error::Error;

/// How long a transfer's token opens, in ms.
const TRANSFER_MS: u64 = 60_000;

/// Mints and reads macaroons.
#[derive(Clone)]
pub(crate) struct Tokens(RootKey);

/// What a macaroon was minted for, as its identifier says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Minted {
    /// An attempt that runs here.
    Attempt {
        /// Who runs it.
        org: OrgId,
        /// The attempt.
        attempt: AttemptId,
    },
    /// One transfer.
    Transfer(Transfer),
}

/// One transfer of bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transfer {
    /// The storage offer it lies in, or shall lie in.
    pub(crate) offer: Name,
    /// The object.
    pub(crate) key: ObjectKey,
    /// The grant it happens under; none where we gave the authority ourselves.
    pub(crate) grant: Option<GrantId>,
    /// The end of the authority behind it, in ms since the epoch.
    pub(crate) until_ms: u64,
}

/// What an attempt's macaroon opens.
pub(crate) struct Opens<'a> {
    pub(crate) key: &'a AttemptKey,
    pub(crate) inputs: Vec<Name>,
    pub(crate) prefix: &'a ObjectKey,
    pub(crate) output_bytes: u64,
    pub(crate) until_ms: u64,
    pub(crate) generation: u64,
}

/// What an attempt does with its macaroon.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Use<'a> {
    /// Reads an input.
    Input(&'a Name),
    /// Writes an output of that key and length.
    Output(&'a ObjectKey, u64),
}

impl Tokens {
    /// The key of this node, made at its first start.
    pub(crate) async fn load(shelf: &Shelf) -> Result<Self, Error> {
        const KEY: &str = "macaroons";
        let fresh = Secret {
            hex: hex::encode(RootKey::generate().expose()),
        };
        let secret = match shelf.secrets.get(KEY).await? {
            Some(seen) => seen.value,
            None => match shelf
                .secrets
                .put(KEY, &fresh, Expect::Absent, Vec::new())
                .await
            {
                Ok(_) => fresh,
                Err(StoreError::AlreadyExists { .. }) => shelf.secrets.require(KEY).await?.value,
                Err(error) => return Err(error.into()),
            },
        };
        let mut bytes = [0; 32];
        hex::decode_to_slice(&secret.hex, &mut bytes)
            .map_err(|_| Error::Unavailable("the key for macaroons is damaged".to_owned()))?;
        Ok(Self(RootKey::from_bytes(bytes)))
    }

    /// A macaroon for an attempt.
    pub(crate) fn for_attempt(&self, opens: &Opens<'_>) -> Macaroon {
        let AttemptKey {
            org,
            fragment,
            attempt,
            ..
        } = *opens.key;
        let minted = Minted::Attempt { org, attempt };
        // A name is a key of one segment.
        let inputs = opens
            .inputs
            .iter()
            .filter_map(|name| name.as_str().parse().ok())
            .collect();
        Macaroon::mint(&self.0, &identifier(&minted))
            .with(&Caveat::Fragment(fragment))
            .with(&Caveat::Attempt(attempt))
            .with(&Caveat::Input(inputs))
            .with(&Caveat::OutputBelow(opens.prefix.clone()))
            .with(&Caveat::MaxBytes(opens.output_bytes))
            .with(&Caveat::Time(opens.until_ms))
            .with(&Caveat::Generation(opens.generation))
    }

    /// A token that opens `transfer.key` for reading, for a minute.
    pub(crate) fn for_reading(&self, transfer: Transfer, generation: u64, now_ms: u64) -> Token {
        let caveat = Caveat::Input(vec![transfer.key.clone()]);
        self.transfer(transfer, &[caveat], generation, now_ms)
    }

    /// A token that takes the bytes of one announced file, for a minute.
    pub(crate) fn for_writing(
        &self,
        transfer: Transfer,
        bytes: u64,
        generation: u64,
        now_ms: u64,
    ) -> Token {
        let caveats = [
            Caveat::Output(transfer.key.clone()),
            Caveat::MaxBytes(bytes),
        ];
        self.transfer(transfer, &caveats, generation, now_ms)
    }

    fn transfer(
        &self,
        transfer: Transfer,
        caveats: &[Caveat],
        generation: u64,
        now_ms: u64,
    ) -> Token {
        let expires_at_ms = transfer.until_ms.min(now_ms.saturating_add(TRANSFER_MS));
        let bare = Macaroon::mint(&self.0, &identifier(&Minted::Transfer(transfer)));
        let narrowed = caveats
            .iter()
            .fold(bare, |macaroon, caveat| macaroon.with(caveat));
        let text = narrowed
            .with(&Caveat::Time(expires_at_ms))
            .with(&Caveat::Generation(generation))
            .to_text();
        Token {
            text,
            expires_at_ms,
        }
    }

    /// What a macaroon claims to be for. Not to be believed before it is checked.
    pub(crate) fn claim(text: &str) -> Result<(Macaroon, Minted), MacaroonError> {
        let macaroon = Macaroon::from_text(text)?;
        let minted = serde_json::from_slice(macaroon.identifier())
            .map_err(|_| MacaroonError::Malformed("it was not made by this service"))?;
        Ok((macaroon, minted))
    }

    /// Checks that an attempt's macaroon opens this, at this generation of its grant.
    pub(crate) fn check_attempt(
        &self,
        macaroon: &Macaroon,
        work: (FragmentId, AttemptId),
        what: Use<'_>,
        generation: u64,
        now_ms: u64,
    ) -> Result<(), MacaroonError> {
        let ask = |access| Ask {
            now_ms,
            generation,
            work: Some(work),
            access,
        };
        match what {
            Use::Input(name) => {
                let key: ObjectKey = name
                    .as_str()
                    .parse()
                    .map_err(|_| MacaroonError::Malformed("the name is no key"))?;
                macaroon.verify(&self.0, &ask(Access::Read(&key)))
            }
            Use::Output(key, bytes) => macaroon.verify(&self.0, &ask(Access::Write { key, bytes })),
        }
    }

    /// Checks that a transfer's token lets `key` be read.
    pub(crate) fn check_reading(
        &self,
        macaroon: &Macaroon,
        key: &ObjectKey,
        generation: u64,
        now_ms: u64,
    ) -> Result<(), MacaroonError> {
        let access = Access::Read(key);
        macaroon.verify(
            &self.0,
            &Ask {
                now_ms,
                generation,
                work: None,
                access,
            },
        )
    }

    /// Checks that a transfer's token takes `bytes` for `key`.
    pub(crate) fn check_writing(
        &self,
        macaroon: &Macaroon,
        key: &ObjectKey,
        bytes: u64,
        generation: u64,
        now_ms: u64,
    ) -> Result<(), MacaroonError> {
        let access = Access::Write { key, bytes };
        macaroon.verify(
            &self.0,
            &Ask {
                now_ms,
                generation,
                work: None,
                access,
            },
        )
    }
}

/// A transfer's token and its end.
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) expires_at_ms: u64,
}

fn identifier(minted: &Minted) -> String {
    // Ids, keys and numbers always have a JSON form.
    serde_json::to_string(minted).unwrap_or_default()
}
