//! The binary form of macaroons, version 2 (libmacaroons, doc/format.txt), for first-party caveats. Third-party
//! caveats have a location and a verification id; they are refused here because nobody discharges them.

use crate::error::MacaroonError;

const VERSION: u8 = 2;
const EOS: u64 = 0;
const LOCATION: u64 = 1;
const IDENTIFIER: u64 = 2;
const SIGNATURE: u64 = 6;

/// Largest macaroon that is read, in bytes.
pub(crate) const LIMIT: usize = 64 << 10;

/// The parts of a macaroon.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub(crate) location: Option<&'a str>,
    pub(crate) identifier: &'a [u8],
    pub(crate) caveats: Vec<&'a str>,
    pub(crate) signature: [u8; 32],
}

pub(crate) fn write(
    location: Option<&str>,
    identifier: &[u8],
    caveats: &[String],
    signature: &[u8; 32],
) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    if let Some(location) = location {
        put_field(&mut bytes, LOCATION, location.as_bytes());
    }
    put_field(&mut bytes, IDENTIFIER, identifier);
    put_number(&mut bytes, EOS);
    for caveat in caveats {
        put_field(&mut bytes, IDENTIFIER, caveat.as_bytes());
        put_number(&mut bytes, EOS);
    }
    put_number(&mut bytes, EOS);
    put_field(&mut bytes, SIGNATURE, signature);
    bytes
}

fn put_field(bytes: &mut Vec<u8>, kind: u64, data: &[u8]) {
    put_number(bytes, kind);
    put_number(bytes, data.len() as u64);
    bytes.extend_from_slice(data);
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

pub(crate) fn read(bytes: &[u8]) -> Result<Parts<'_>, MacaroonError> {
    if bytes.len() > LIMIT {
        return Err(MacaroonError::Malformed("it is too long"));
    }
    let mut reader = Reader(bytes);
    if reader.byte()? != VERSION {
        return Err(MacaroonError::Malformed("it is not of version 2"));
    }
    let (location, identifier) = match reader.field()? {
        Some((LOCATION, location)) => (Some(text(location)?), reader.expect(IDENTIFIER)?),
        Some((IDENTIFIER, identifier)) => (None, identifier),
        _ => return Err(MacaroonError::Malformed("it has no identifier")),
    };
    reader.end_of_section()?;

    let mut caveats = Vec::new();
    while let Some((kind, data)) = reader.field()? {
        match kind {
            IDENTIFIER => caveats.push(text(data)?),
            LOCATION => return Err(MacaroonError::ThirdParty),
            _ => return Err(MacaroonError::Malformed("a caveat has no identifier")),
        }
        if reader.field()?.is_some() {
            return Err(MacaroonError::ThirdParty);
        }
    }
    let signature = reader
        .expect(SIGNATURE)?
        .try_into()
        .map_err(|_| MacaroonError::Malformed("its signature has not 32 bytes"))?;
    if !reader.0.is_empty() {
        return Err(MacaroonError::Malformed("something follows its signature"));
    }
    Ok(Parts {
        location,
        identifier,
        caveats,
        signature,
    })
}

fn text(bytes: &[u8]) -> Result<&str, MacaroonError> {
    std::str::from_utf8(bytes).map_err(|_| MacaroonError::Malformed("it is not UTF-8"))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, MacaroonError> {
        let (first, rest) = self
            .0
            .split_first()
            .ok_or(MacaroonError::Malformed("it is cut off"))?;
        self.0 = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u64, MacaroonError> {
        let mut number = 0;
        // Lengths stay below `LIMIT`, so three groups of seven bits are enough.
        for shift in [0, 7, 14] {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                // A longer spelling of the same number would be another text for the same macaroon.
                if byte == 0 && shift > 0 {
                    break;
                }
                return Ok(number);
            }
        }
        Err(MacaroonError::Malformed("a number in it is too long"))
    }

    /// The next field; none at the end of a section.
    fn field(&mut self) -> Result<Option<(u64, &'a [u8])>, MacaroonError> {
        let kind = self.number()?;
        if kind == EOS {
            return Ok(None);
        }
        let length = self.number()?;
        let cut = usize::try_from(length)
            .ok()
            .and_then(|length| self.0.split_at_checked(length));
        let (data, rest) = cut.ok_or(MacaroonError::Malformed("it is cut off"))?;
        self.0 = rest;
        Ok(Some((kind, data)))
    }

    fn expect(&mut self, wanted: u64) -> Result<&'a [u8], MacaroonError> {
        match self.field()? {
            Some((kind, data)) if kind == wanted => Ok(data),
            _ => Err(MacaroonError::Malformed("its fields are out of order")),
        }
    }

    fn end_of_section(&mut self) -> Result<(), MacaroonError> {
        match self.field()? {
            None => Ok(()),
            Some(_) => Err(MacaroonError::Malformed("its fields are out of order")),
        }
    }
}
