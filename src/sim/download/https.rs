//! Pieces of a file over HTTPS: one connection for all of them, and another one from where it broke.

use bytes::Bytes;

use crate::net::https::{Download, HttpError, Trust};

use super::{Fetch, FetchError, Piece};

/// One download.
pub(super) struct Https {
    trust: Option<Trust>,
    body: Option<Body>,
}

/// What comes, and how far it has come.
struct Body {
    download: Download,
    /// Of the next byte.
    offset: u64,
    /// Came, and was not asked for yet.
    rest: Bytes,
}

impl Https {
    /// Without `trust` any server is believed.
    pub(super) fn new(trust: Option<Trust>) -> Self {
        Self { trust, body: None }
    }

    pub(super) async fn piece(&mut self, fetch: &Fetch) -> Result<Piece, FetchError> {
        let goes_on = |body: &mut Body| body.offset == fetch.offset;
        let body = match self.body.take_if(goes_on) {
            Some(body) => self.body.insert(body),
            None => {
                let begun = self.begin(fetch).await?;
                self.body.insert(begun)
            }
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
        let trust = match &self.trust {
            Some(trust) => trust.clone(),
            None => Trust::anybody()?,
        };
        let tag = fetch.tag.as_deref();
        let tag = tag.and_then(|tag| std::str::from_utf8(tag).ok());
        let download = Download::begin(&trust, &fetch.uri, fetch.offset, tag).await?;
        Ok(Body {
            offset: download.offset,
            download,
            rest: Bytes::new(),
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
