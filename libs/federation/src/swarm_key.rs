//! The key that a private network's members share, in the file format every libp2p reads.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use oc_kernel::{Classify, Kind};
use rand::TryRngCore as _;
use rand::rngs::OsRng;

const HEADER: &str = "/key/swarm/psk/1.0.0/";

/// Why a text is not a swarm key. It never repeats the text, which may be most of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SwarmKeyError {
    /// Larger than any swarm key.
    #[error("a swarm key has at most {limit} bytes", limit = SwarmKey::MAX_FILE_BYTES)]
    TooLong,
    /// The first line is another.
    #[error("a swarm key begins with the line `{HEADER}`")]
    Header,
    /// The second line is none of the three encodings.
    #[error("the second line of a swarm key is `/base16/`, `/base64/` or `/bin/`")]
    Encoding,
    /// The key's digits cannot be read.
    #[error("the key itself is damaged: copy it again")]
    Digits,
    /// The key has another length.
    #[error("a swarm key has 32 bytes, this one has {0}: copy it again")]
    Length(usize),
}

impl Classify for SwarmKeyError {
    fn kind(&self) -> Kind {
        Kind::Malformed
    }
}

/// A pre-shared key (libp2p `specs/pnet/Private-Networks-PSK-V1.md`): 32 random bytes.
///
/// Whoever has it sees that the network's members exist and may talk to them; it gives no right to
/// anything that they own.
#[derive(Clone, PartialEq, Eq)]
pub struct SwarmKey([u8; 32]);

impl SwarmKey {
    /// Longest accepted file in bytes.
    pub const MAX_FILE_BYTES: usize = 512;

    /// A new random key.
    ///
    /// # Panics
    /// When the system has no source of random bytes.
    pub fn generate() -> Self {
        let mut bytes = [0; 32];
        OsRng
            .try_fill_bytes(&mut bytes)
            .expect("the system has a source of random bytes");
        Self(bytes)
    }

    /// The key of these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads a `swarm.key` file in any of its three encodings.
    ///
    /// # Errors
    /// Tells which line is wrong.
    pub fn parse_file(file: &[u8]) -> Result<Self, SwarmKeyError> {
        if file.len() > Self::MAX_FILE_BYTES {
            return Err(SwarmKeyError::TooLong);
        }
        let (header, rest) = split_line(file);
        if header != HEADER.as_bytes() {
            return Err(SwarmKeyError::Header);
        }
        let (encoding, rest) = split_line(rest);
        let bytes = match encoding {
            b"/base16/" => hex::decode(rest.trim_ascii()).map_err(|_| SwarmKeyError::Digits)?,
            b"/base64/" => decode_base64(rest.trim_ascii())?,
            b"/bin/" => match rest {
                [key @ .., b'\n'] if key.len() == 32 => key.to_vec(),
                key => key.to_vec(),
            },
            _ => return Err(SwarmKeyError::Encoding),
        };
        let length = bytes.len();
        let bytes = bytes
            .try_into()
            .map_err(|_| SwarmKeyError::Length(length))?;
        Ok(Self(bytes))
    }

    /// The `swarm.key` file, in base 16, which every implementation reads.
    pub fn to_file(&self) -> String {
        format!("{HEADER}\n/base16/\n{}\n", hex::encode(self.0))
    }

    /// A name for the key that gives nothing of it away, equal to other implementations' fingerprint.
    pub fn fingerprint(&self) -> String {
        libp2p::pnet::PreSharedKey::new(self.0)
            .fingerprint()
            .to_string()
    }
}

fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (line, rest) = end.map_or((bytes, &[][..]), |at| (&bytes[..at], &bytes[at + 1..]));
    (line.trim_ascii_end(), rest)
}

fn decode_base64(text: &[u8]) -> Result<Vec<u8>, SwarmKeyError> {
    STANDARD
        .decode(text)
        .or_else(|_| STANDARD_NO_PAD.decode(text))
        .map_err(|_| SwarmKeyError::Digits)
}

impl FromStr for SwarmKey {
    type Err = SwarmKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse_file(text.as_bytes())
    }
}

impl fmt::Debug for SwarmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SwarmKey({})", self.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_read_back_as_written() {
        let key = SwarmKey::generate();
        assert_eq!(key.to_file().parse(), Ok(key));
    }

    #[test]
    fn the_other_encodings_give_the_same_key() {
        let key = SwarmKey::from_bytes([0xfe; 32]);
        let base64 = format!("{HEADER}\n/base64/\n{}", STANDARD.encode([0xfe; 32]));
        assert_eq!(base64.parse(), Ok(key.clone()));
        let mut bin = format!("{HEADER}\n/bin/\n").into_bytes();
        bin.extend([0xfe; 32]);
        assert_eq!(SwarmKey::parse_file(&bin), Ok(key.clone()));
        bin.push(b'\n');
        assert_eq!(SwarmKey::parse_file(&bin), Ok(key));
    }

    #[test]
    fn a_file_of_another_system_is_read() {
        let file = format!("{HEADER}\r\n/base16/\r\n{}\r\n", "0a".repeat(32));
        assert_eq!(file.parse(), Ok(SwarmKey::from_bytes([10; 32])));
    }

    #[test]
    fn a_damaged_file_says_which_line_is_wrong() {
        let good = SwarmKey::from_bytes([1; 32]).to_file();
        let cases = [
            (String::new(), SwarmKeyError::Header),
            (good.replace("1.0.0", "2.0.0"), SwarmKeyError::Header),
            (good.replace("base16", "base58"), SwarmKeyError::Encoding),
            (good.replacen("01", "0", 1), SwarmKeyError::Digits),
            (good.replacen("01", "", 1), SwarmKeyError::Length(31)),
            (good.replacen("01", "é", 1), SwarmKeyError::Digits),
            (good + &" ".repeat(512), SwarmKeyError::TooLong),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<SwarmKey>(), Err(error), "{text}");
        }
    }

    #[test]
    fn printing_a_key_for_a_log_does_not_give_it_away() {
        let key = SwarmKey::from_bytes([0xab; 32]);
        assert!(!format!("{key:?}").contains("abab"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn no_bytes_make_the_parser_panic(tail in proptest::collection::vec(any::<u8>(), 0..90), lines in 0..3usize) {
            let mut file = ["", HEADER, "/key/swarm/psk/1.0.0/\n/base16/\n"][lines].as_bytes().to_vec();
            file.extend(tail);
            let _ = SwarmKey::parse_file(&file);
        }
    }
}
