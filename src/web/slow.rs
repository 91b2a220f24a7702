//! Bodies that do not come: whoever sends one a byte at a time keeps a connection, and with enough of them all.
//!
//! The head of a request has a time of its own in the HTTP server. A body has to be whole within
//! `web.body_timeout_s`; of an upload, which may be large on a slow line, the next part has to come within it.

use std::io;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage as _};
use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt as _, unfold};
use tokio::time::{Instant, timeout_at};

use super::AppState;

/// The limit as a middleware.
///
/// # Errors
/// Those of the handler, which is told that the body ends with [`io::ErrorKind::TimedOut`].
pub(super) async fn bound_bodies<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let state = request.app_data::<Data<AppState>>();
    let patience = state.map(|state| state.settings.web.body_timeout());
    if let Some(patience) = patience
        && has_body(request.headers())
    {
        let payload = request.take_payload();
        let per_part = is_upload(request.headers());
        let payload = Box::pin(bounded(payload, patience, per_part));
        request.set_payload(Payload::Stream { payload });
    }
    next.call(request).await
}

/// Its parts as long as they come in time: each after the other, or all of them together.
fn bounded(
    payload: Payload,
    patience: Duration,
    per_part: bool,
) -> impl Stream<Item = Result<Bytes, PayloadError>> {
    let end = Instant::now() + patience;
    // Some readers ask again after the end.
    let parts = unfold(Some((payload, end)), move |state| async move {
        let (mut payload, end) = state?;
        match timeout_at(end, payload.next()).await {
            Ok(part) => {
                let end = if per_part {
                    Instant::now() + patience
                } else {
                    end
                };
                Some((part?, Some((payload, end))))
            }
            Err(_) => Some((Err(io::Error::from(io::ErrorKind::TimedOut).into()), None)),
        }
    });
    parts.fuse()
}

/// What comes behind an upgrade is no body.
fn has_body(headers: &HeaderMap) -> bool {
    let announced = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
    announced.iter().any(|name| headers.contains_key(name))
        && !headers.contains_key(header::UPGRADE)
}

fn is_upload(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.trim_start()
        .to_ascii_lowercase()
        .starts_with("multipart/form-data")
}
