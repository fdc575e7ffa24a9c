//! The JSON frames before and after the bytes.

use std::io;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Largest frame in bytes.
pub(super) const FRAME_BYTES: usize = 16 * 1024;

pub(super) fn encode(document: &impl Serialize) -> io::Result<Bytes> {
    let json = serde_json::to_vec(document)?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    if json.len() > FRAME_BYTES {
        let text = format!("a frame may have {FRAME_BYTES} bytes, this one has {length}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(&json);
    Ok(frame.into())
}

pub(super) async fn write<W: AsyncWrite + Unpin>(
    stream: &mut W,
    document: &impl Serialize,
) -> io::Result<()> {
    stream.write_all(&encode(document)?).await?;
    stream.flush().await
}

pub(super) async fn read<T: DeserializeOwned, R: AsyncRead + Unpin>(
    stream: &mut R,
) -> io::Result<T> {
    let length = stream.read_u32().await? as usize;
    if length > FRAME_BYTES {
        let text = format!("a frame of {length} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut json = vec![0; length];
    stream.read_exact(&mut json).await?;
    serde_json::from_slice(&json).map_err(|error| {
        let text = format!("a frame that cannot be read: {error}");
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{BulkAnswer, BulkRequest};
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_bytes_make_the_reader_panic_or_reserve_memory(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut bytes = bytes.as_slice();
            let read = futures::executor::block_on(read::<BulkRequest, _>(&mut bytes));
            prop_assert!(read.is_err());
        }
    }

    #[tokio::test]
    async fn a_frame_is_read_back_as_written_and_an_oversized_one_is_refused() {
        let answer = BulkAnswer::refusal(oc_kernel::Kind::Exhausted, "full");
        let frame = encode(&answer).unwrap();
        let back: BulkAnswer = read(&mut frame.as_ref()).await.unwrap();
        assert_eq!(back, answer);
        let large = BulkAnswer::refusal(oc_kernel::Kind::Exhausted, &"x".repeat(FRAME_BYTES));
        assert!(encode(&large).is_err());
    }
}
