//! Reads a body, no further than it may be long. Large ones take one of few places, so that however many come at once,
//! they hold little.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;

use crate::apiserver::status::Status;

/// A body.
#[derive(Debug)]
pub(super) struct Read<P> {
    pub(super) bytes: Bytes,
    /// The place of a large one, to be kept as long as anything of it is.
    pub(super) place: Option<P>,
}

/// All of `body`, or a refusal as soon as it is known to have more than `most` bytes. Beyond `small` bytes it waits for
/// a `large` one's place.
pub(super) async fn read<B, P>(
    body: B,
    most: usize,
    small: usize,
    large: impl Future<Output = Result<P, Status>>,
) -> Result<Read<P>, Status>
where
    B: hyper::body::Body<Data = Bytes>,
{
    let said = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if said > most {
        return Err(Status::body_too_large(most));
    }
    let mut body = pin!(body);
    let mut bytes = BytesMut::new();
    let (mut place, mut large) = (None, Some(large));
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(Status::bad_request("the body of the request broke off"));
        };
        // Trailers mean nothing here.
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        let length = bytes.len().saturating_add(piece.len());
        if length > most {
            return Err(Status::body_too_large(most));
        }
        if length > small
            && let Some(large) = large.take()
        {
            place = Some(large.await?);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Read {
        bytes: bytes.freeze(),
        place,
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use futures::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;
    use tokio::sync::{OwnedSemaphorePermit, Semaphore};

    use super::*;

    type Piece = Result<Frame<Bytes>, Infallible>;

    async fn enter(large: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Status> {
        Ok(large.clone().acquire_owned().await.unwrap())
    }

    /// Chunks of 4 bytes that count how many of them were taken.
    fn chunks(
        many: usize,
        taken: &Arc<std::sync::atomic::AtomicUsize>,
    ) -> impl hyper::body::Body<Data = Bytes> + use<> {
        let taken = taken.clone();
        StreamBody::new(stream::iter((0..many).map(move |_| -> Piece {
            taken.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Ok(Frame::data(Bytes::from_static(b"abcd")))
        })))
    }

    #[tokio::test]
    async fn what_is_too_long_is_not_read_to_its_end() {
        let large = Arc::new(Semaphore::new(1));
        let taken = Arc::default();
        let read = read(chunks(2, &taken), 8, 4, enter(&large)).await.unwrap();
        assert_eq!(&read.bytes[..], b"abcdabcd");
        drop(read);

        let taken = Arc::default();
        let refused = super::read(chunks(1000, &taken), 8, 4, enter(&large)).await;
        assert_eq!(refused.unwrap_err().code, 413);
        assert_eq!(taken.load(std::sync::atomic::Ordering::SeqCst), 3);

        let said = Full::new(Bytes::from_static(b"123456789"));
        let refused = super::read(said, 8, 4, enter(&large)).await.unwrap_err();
        assert_eq!(refused.message, "Request entity too large: limit is 8");
        assert_eq!(large.available_permits(), 1);
    }

    #[tokio::test]
    async fn large_bodies_wait_for_each_other_and_small_ones_for_nobody() {
        let large = Arc::new(Semaphore::new(1));
        let taken = Arc::default();
        let first = read(chunks(2, &taken), 8, 4, enter(&large)).await.unwrap();
        assert!(first.place.is_some());
        let small = read(chunks(1, &taken), 8, 4, enter(&large)).await.unwrap();
        assert!(small.place.is_none());
        let mut second = pin!(read(chunks(2, &taken), 8, 4, enter(&large)));
        assert!(futures::poll!(second.as_mut()).is_pending());
        drop(first);
        assert!(second.await.unwrap().place.is_some());
    }
}
