//! Images that a device downloads: the pieces that it asks for, fetched one after the other.
//!
//! A download over HTTPS is a task of its own, which has the connection and is ended with it.

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_local};

use crate::net::https::{Download, HttpError, Trust};

use super::device::{Fetch, FetchError, Input, Piece};

/// The downloads of one device: at most one at a time.
pub(super) struct Downloads {
    trust: Option<Trust>,
    running: Option<Running>,
    pieces: mpsc::Sender<Input>,
}

struct Running {
    download: u32,
    asks: mpsc::Sender<Fetch>,
    task: JoinHandle<()>,
}

impl Downloads {
    /// Pieces go to `pieces`. Without `trust` any server is believed.
    pub(super) fn new(trust: Option<Trust>, pieces: mpsc::Sender<Input>) -> Self {
        Self {
            trust,
            running: None,
            pieces,
        }
    }

    /// Fetches a piece.
    pub(super) fn fetch(&mut self, fetch: Fetch) {
        let has_begun = |running: &Running| running.download == fetch.download;
        if !self.running.as_ref().is_some_and(has_begun) {
            self.hang_up();
            let (asks, has_asks) = mpsc::channel(1);
            let source = Https {
                trust: self.trust.clone(),
                body: None,
            };
            self.running = Some(Running {
                download: fetch.download,
                asks,
                task: spawn_local(source.run(has_asks, self.pieces.clone())),
            });
        }
        if let Some(running) = &self.running {
            // A device asks for one piece at a time, so there is room.
            let _ = running.asks.try_send(fetch);
        }
    }

    /// Ends what is under way.
    pub(super) fn hang_up(&mut self) {
        if let Some(running) = self.running.take() {
            running.task.abort();
        }
    }
}

impl Drop for Downloads {
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// One download over HTTPS.
struct Https {
    trust: Option<Trust>,
    body: Option<Body>,
}

/// What comes, and how far it has come.
struct Body {
    download: Download,
    /// Of the next byte.
    offset: u64,
    /// Came, and was not asked for yet.
    rest: bytes::Bytes,
}

impl Https {
    async fn run(mut self, mut asks: mpsc::Receiver<Fetch>, pieces: mpsc::Sender<Input>) {
        while let Some(fetch) = asks.recv().await {
            let piece = self.piece(&fetch).await;
            if piece.is_err() {
                self.body = None;
            }
            let download = fetch.download;
            if pieces
                .send(Input::Fetched { download, piece })
                .await
                .is_err()
            {
                return;
            }
        }
    }

    async fn piece(&mut self, fetch: &Fetch) -> Result<Piece, FetchError> {
        let goes_on = |body: &Body| body.offset == fetch.offset;
        if !self.body.as_ref().is_some_and(goes_on) {
            self.body = Some(self.begin(fetch).await?);
        }
        let Some(body) = &mut self.body else {
            return Err(FetchError::ConnectionLost(
                "there is no connection".to_owned(),
            ));
        };
        let mut is_over = false;
        if body.rest.is_empty() {
            match body.download.next().await? {
                Some(bytes) => body.rest = bytes,
                None => is_over = true,
            }
        }
        let bytes = body.rest.split_to(fetch.most.min(body.rest.len()));
        let offset = body.offset;
        body.offset += bytes.len() as u64;
        let total = body.download.total;
        if is_over && total.is_some_and(|total| total != body.offset) {
            // A connection that breaks looks like the end.
            return Err(FetchError::ConnectionLost(
                "the image ends too early".to_owned(),
            ));
        }
        Ok(Piece {
            offset,
            bytes: bytes.to_vec(),
            // A server that sends the rest need not say the tag again that it was asked with.
            tag: match (&body.download.tag, offset) {
                (None, 1..) => fetch.tag.clone(),
                (tag, _) => tag.clone().map(String::into_bytes),
            },
            total,
            is_last: is_over || total == Some(body.offset),
        })
    }

    async fn begin(&self, fetch: &Fetch) -> Result<Body, FetchError> {
        let anybody;
        let trust = match &self.trust {
            Some(trust) => trust,
            None => {
                anybody = Trust::anybody()?;
                &anybody
            }
        };
        let tag = fetch.tag.as_deref();
        let tag = tag.and_then(|tag| std::str::from_utf8(tag).ok());
        let download = Download::begin(trust, &fetch.uri, fetch.offset, tag).await?;
        Ok(Body {
            offset: download.offset,
            download,
            rest: bytes::Bytes::new(),
        })
    }
}

impl From<HttpError> for FetchError {
    fn from(error: HttpError) -> Self {
        let text = error.to_string();
        match error {
            HttpError::Broken(_) => Self::ConnectionLost(text),
            HttpError::InvalidUrl(_) => Self::InvalidUri(text),
            HttpError::Untrusted(_) => Self::Untrusted(text),
            // Busy, too many at once, too slow: another time.
            HttpError::Status(status)
                if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) =>
            {
                Self::ConnectionLost(text)
            }
            HttpError::Status(_) => Self::InvalidUri(text),
        }
    }
}
