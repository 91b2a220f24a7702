//! Bodies that do not come, and bodies that grow: whoever sends one a byte at a time keeps a connection, and with
//! enough of them all; and a thousandth of what a limit allows becomes all of it when it is unpacked, part by part,
//! before anything can count it. So bodies are taken as they are, and packed ones are refused.
//!
//! The head of a request has a time of its own in the HTTP server. A body has to be whole within
//! `web.body_timeout_s`; of an upload, which may be large on a slow line, the next part has to come within it.

use std::io;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage as _, ResponseError as _};
use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt as _, unfold};
use tokio::time::{Instant, timeout_at};

use super::{ApiError, AppState};

/// The limit as a middleware.
///
/// # Errors
/// Those of the handler, which is told that the body ends with [`io::ErrorKind::TimedOut`]; a refusal is an answer.
pub(super) async fn bound_bodies<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if is_packed(request.headers()) {
        let detail = "send the body as it is, without Content-Encoding";
        let refusal = ApiError::unsupported_media_type(detail).error_response();
        return Ok(request.into_response(refusal));
    }
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
    Ok(next.call(request).await?.map_into_boxed_body())
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
            Err(_) => {
                let late = io::Error::from(io::ErrorKind::TimedOut);
                Some((Err(PayloadError::Io(late)), None))
            }
        }
    });
    parts.fuse()
}

fn is_packed(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING);
    encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
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
