//! The bytes of an answer: read from the image in chunks, each when the one before has gone out.

use std::future::Future as _;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_http::body::{BodySize, MessageBody};
use actix_rt::task::{JoinHandle, spawn_blocking};
use bytes::Bytes;

use super::metrics::{DownloadMetrics, Outcome};
use super::{Served, Told};
use crate::domain::ImageBytes;

/// What follows the head of an answer.
#[derive(Debug)]
pub(super) enum Body {
    /// Nothing, and no length either.
    Empty,
    /// The head says how long it would be.
    LengthOnly(u64),
    /// A sentence.
    Text(Bytes),
    /// Bytes of an image.
    Image(Box<ImagePart>),
}

impl MessageBody for Body {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        match self {
            Self::Empty => BodySize::None,
            Self::LengthOnly(length) => BodySize::Sized(*length),
            Self::Text(text) => BodySize::Sized(text.len() as u64),
            Self::Image(part) => BodySize::Sized(part.range.end.saturating_sub(part.range.start)),
        }
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        match &mut *self {
            Self::Empty | Self::LengthOnly(_) => Poll::Ready(None),
            Self::Text(text) => {
                let text = std::mem::take(text);
                Poll::Ready((!text.is_empty()).then_some(Ok(text)))
            }
            Self::Image(part) => part.poll_next(context),
        }
    }
}

/// Bytes of an image on their way out.
#[derive(Debug)]
pub(super) struct ImagePart {
    bytes: Arc<dyn ImageBytes>,
    range: Range<u64>,
    /// What was given away begins before this byte.
    at: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    delivery: Delivery,
}

impl ImagePart {
    /// The range is within the image.
    pub(super) fn new(
        bytes: Arc<dyn ImageBytes>,
        range: Range<u64>,
        mut delivery: Delivery,
    ) -> Self {
        if range.is_empty() {
            delivery.is_complete();
        }
        Self {
            at: range.start,
            bytes,
            range,
            reading: None,
            delivery,
        }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let mut reading = match self.reading.take() {
            Some(reading) => reading,
            None => {
                // Asked for more, so what was given before has gone out: see `firmware_files::http`.
                self.delivery.went_out(self.at);
                if self.at >= self.range.end {
                    self.delivery.is_complete();
                    return Poll::Ready(None);
                }
                self.read()
            }
        };
        let Poll::Ready(read) = Pin::new(&mut reading).poll(context) else {
            self.reading = Some(reading);
            return Poll::Pending;
        };
        let chunk = read.map_err(io::Error::other).flatten();
        match &chunk {
            Ok(chunk) => self.at = self.at.saturating_add(chunk.len() as u64),
            Err(error) => tracing::error!(
                "Cannot read the image {} any further: {error}",
                self.delivery.served.image
            ),
        }
        Poll::Ready(Some(chunk))
    }

    fn read(&self) -> JoinHandle<io::Result<Bytes>> {
        let (bytes, at) = (Arc::clone(&self.bytes), self.at);
        let left = usize::try_from(self.range.end.saturating_sub(at)).unwrap_or(usize::MAX);
        spawn_blocking(move || {
            let mut chunk = vec![0; left.min(CHUNK_BYTES)];
            let read = bytes.read(at, &mut chunk)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            chunk.truncate(read);
            Ok(chunk.into())
        })
    }
}

/// Tells how an answer gets on: at most once a second, and at its end, whichever this is.
pub(super) struct Delivery {
    served: Served,
    outcome: Outcome,
    metrics: DownloadMetrics,
    told: Told,
    told_at: Instant,
}

impl Delivery {
    /// `whole` is what becomes of it when all of it goes out.
    pub(super) fn new(
        served: Served,
        whole: Outcome,
        metrics: DownloadMetrics,
        told: Told,
    ) -> Self {
        Self {
            served,
            outcome: whole,
            metrics,
            told,
            told_at: Instant::now(),
        }
    }

    fn went_out(&mut self, to: u64) {
        self.metrics.sent(to.saturating_sub(self.served.served_to));
        self.served.served_to = to;
        if self.told_at.elapsed() >= TELL_EVERY {
            self.told_at = Instant::now();
            (self.told)(self.served);
        }
    }

    fn is_complete(&mut self) {
        self.served.is_complete = true;
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.served.is_over = true;
        self.metrics.request(if self.served.is_complete {
            self.outcome
        } else {
            Outcome::Broken
        });
        (self.told)(self.served);
    }
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery")
            .field("served", &self.served)
            .finish_non_exhaustive()
    }
}

/// What one download holds in memory.
const CHUNK_BYTES: usize = 64 * 1024;
/// How often one answer is told of while it goes on.
const TELL_EVERY: Duration = Duration::from_secs(1);
