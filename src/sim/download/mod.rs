//! Images that a device downloads: the pieces that it asks for, fetched one after the other.
//!
//! A download is a task of its own, which has the connection and ends with it. `https` reads files part by
//! part, `coap` asks for blocks: in the device's own session with its server where the image is there, from
//! a socket of its own otherwise.

mod coap;
#[cfg(test)]
mod coap_tests;
mod https;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_local};

use crate::coap::{ExchangeFailure, OutgoingRequest, Response};
use crate::net::https::Trust;

use super::device::{Fetch, FetchError, Input, Piece};
use coap::Coap;
use https::Https;

/// What a device downloads with.
#[derive(Clone)]
pub(super) struct Means {
    /// Whom it believes over HTTPS; none: any server.
    pub(super) trust: Option<Trust>,
    /// Its LwM2M server.
    pub(super) server: SocketAddr,
    /// Whether it speaks DTLS with that.
    pub(super) is_secure: bool,
    /// Requests to that in the device's own session.
    pub(super) session: mpsc::Sender<SessionAsk>,
    /// Where the pieces go.
    pub(super) pieces: mpsc::Sender<Input>,
}

/// A request to be made in the device's own session.
pub(super) struct SessionAsk {
    /// Without a token: it is given one.
    pub(super) request: OutgoingRequest,
    pub(super) reply: oneshot::Sender<Result<Response, ExchangeFailure>>,
}

/// The downloads of one device: at most one at a time.
pub(super) struct Downloads {
    means: Means,
    running: Option<Running>,
}

struct Running {
    download: u32,
    asks: mpsc::Sender<Fetch>,
    task: JoinHandle<()>,
}

impl Downloads {
    pub(super) fn new(means: Means) -> Self {
        Self {
            means,
            running: None,
        }
    }

    /// Fetches a piece.
    pub(super) fn fetch(&mut self, fetch: Fetch) {
        let has_begun = |running: &Running| running.download == fetch.download;
        if !self.running.as_ref().is_some_and(has_begun) {
            self.hang_up();
            let (asks, has_asks) = mpsc::channel(1);
            self.running = Some(Running {
                download: fetch.download,
                asks,
                task: spawn_local(run(self.means.clone(), has_asks)),
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

/// What pieces come from.
enum Source {
    Coap(Box<Coap>),
    Https(Box<Https>),
}

async fn run(means: Means, mut asks: mpsc::Receiver<Fetch>) {
    let mut source = None;
    while let Some(fetch) = asks.recv().await {
        let piece = match piece(&means, &mut source, &fetch).await {
            Ok(piece) => Ok(piece),
            Err(error) => {
                // What broke is made anew.
                source = None;
                Err(error)
            }
        };
        let download = fetch.download;
        let input = Input::Fetched { download, piece };
        if means.pieces.send(input).await.is_err() {
            return;
        }
    }
}

async fn piece(
    means: &Means,
    source: &mut Option<Source>,
    fetch: &Fetch,
) -> Result<Piece, FetchError> {
    let source = match source {
        Some(source) => source,
        None => source.insert(Source::of(means, &fetch.uri).await?),
    };
    match source {
        Source::Coap(coap) => coap.piece(fetch).await,
        Source::Https(https) => https.piece(fetch).await,
    }
}

impl Source {
    async fn of(means: &Means, uri: &str) -> Result<Self, FetchError> {
        let scheme = uri.split_once("://").map(|(scheme, _)| scheme);
        match scheme.map(str::to_ascii_lowercase).as_deref() {
            None | Some("coap" | "coaps") => {
                let coap = Coap::to(means, uri).await?;
                Ok(Self::Coap(Box::new(coap)))
            }
            Some("http" | "https") => {
                let https = Https::new(means.trust.clone());
                Ok(Self::Https(Box::new(https)))
            }
            Some(other) => {
                let reason = format!("nothing here speaks {other}");
                Err(FetchError::UnsupportedProtocol(reason))
            }
        }
    }
}
