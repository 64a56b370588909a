//! Reads the body of a response, up to a limit, into memory that is wiped.

use std::pin::pin;

use bytes::Buf;
use http_body::Body;
use http_body_util::BodyExt;
use zeroize::Zeroizing;

use crate::error::BoxError;

#[derive(Debug)]
pub(super) enum ReadError {
    TooLarge,
    Broken(BoxError),
}

/// Reads a whole body of at most `cap` bytes.
pub(super) async fn collect<B>(body: B, cap: usize) -> Result<Zeroizing<Vec<u8>>, ReadError>
where
    B: Body<Error: Into<BoxError>>,
{
    let mut body = pin!(body);
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > cap {
        return Err(ReadError::TooLarge);
    }
    let mut collected = Zeroizing::new(Vec::with_capacity(announced));
    let mut empty = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| ReadError::Broken(e.into()))?;
        let data = frame.into_data().ok().filter(Buf::has_remaining);
        let Some(mut data) = data else {
            // An endless body of empty frames would outlast any timer.
            empty += 1;
            if empty > cap {
                return Err(ReadError::TooLarge);
            }
            continue;
        };
        if data.remaining() > cap - collected.len() {
            return Err(ReadError::TooLarge);
        }
        reserve(&mut collected, data.remaining());
        while data.has_remaining() {
            let chunk = data.chunk();
            collected.extend_from_slice(chunk);
            let read = chunk.len();
            data.advance(read);
        }
    }
    Ok(collected)
}

/// Makes room in a new buffer: a `Vec` that grows leaves its old bytes behind,
/// unwiped.
fn reserve(buffer: &mut Zeroizing<Vec<u8>>, more: usize) {
    let needed = buffer.len() + more;
    if needed > buffer.capacity() {
        let mut grown = Zeroizing::new(Vec::with_capacity(needed.max(buffer.capacity() * 2)));
        grown.extend_from_slice(buffer);
        *buffer = grown;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use http_body::Frame;
    use http_body_util::Full;

    use super::*;

    /// A body of chunks of these lengths that announces no length.
    struct Chunks(VecDeque<usize>);

    impl Body for Chunks {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let next = self.0.pop_front();
            Poll::Ready(next.map(|n| Ok(Frame::data(Bytes::from(vec![b'x'; n])))))
        }
    }

    #[tokio::test]
    async fn a_body_of_exactly_the_cap_is_read_and_one_byte_more_is_not() {
        for (lengths, length) in [
            (&[][..], Some(0)),
            (&[10], Some(10)),
            (&[1, 2, 3, 4], Some(10)),
            (&[0, 10, 0], Some(10)),
            (&[11], None),
            (&[10, 1], None),
            (&[5, 1 << 24], None),
            (&[0; 11], None),
        ] {
            let body = Chunks(lengths.iter().copied().collect());
            let read = collect(body, 10).await.ok().map(|b| b.len());
            assert_eq!(read, length, "{lengths:?}");
        }
    }

    #[tokio::test]
    async fn an_announced_length_over_the_cap_is_not_read_at_all() {
        let body = Full::new(Bytes::from_static(b"12345678901"));
        assert!(matches!(collect(body, 10).await, Err(ReadError::TooLarge)));
    }
}
