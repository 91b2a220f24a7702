//! From a request to an answer.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use actix_http::header::{self, HeaderValue};
use actix_http::{Method, Request, Response, ResponseBuilder, StatusCode};
use percent_encoding::percent_decode_str;

use super::asked::{Asked, asked};
use super::body::{Body, Delivery, ImagePart};
use super::metrics::{DownloadMetrics, Outcome};
use super::{Served, Told};
use crate::store::{FirmwareShelf, Shelved};

/// Answers requests.
#[derive(Clone)]
pub(super) struct Answers {
    pub(super) shelf: Arc<dyn FirmwareShelf>,
    pub(super) metrics: DownloadMetrics,
    pub(super) told: Told,
}

impl Answers {
    pub(super) fn answer(&self, request: &Request) -> Response<Body> {
        let is_head = request.method() == Method::HEAD;
        if !is_head && request.method() != Method::GET {
            self.metrics.request(Outcome::MethodNotAllowed);
            let mut response = start(StatusCode::METHOD_NOT_ALLOWED);
            response.insert_header((header::ALLOW, "GET, HEAD"));
            return text(response, is_head, "only GET and HEAD are served here\n");
        }
        let shelved = named(request.path()).and_then(|path| self.shelf.named(&path));
        let Some(shelved) = shelved else {
            self.metrics.request(Outcome::NotFound);
            return text(
                start(StatusCode::NOT_FOUND),
                is_head,
                "there is no such file\n",
            );
        };
        self.image(request, is_head, shelved)
    }

    fn image(&self, request: &Request, is_head: bool, shelved: Shelved) -> Response<Body> {
        let size = shelved.bytes.size();
        let etag = format!("\"{}\"", hex::encode(shelved.bytes.tag()));
        let asked = asked(request.head().headers(), !is_head, &etag, size);
        let (status, range) = match &asked {
            Asked::Whole => (StatusCode::OK, 0..size),
            Asked::Part(range) => (StatusCode::PARTIAL_CONTENT, range.clone()),
            Asked::Unchanged => (StatusCode::NOT_MODIFIED, 0..0),
            Asked::Other => (StatusCode::PRECONDITION_FAILED, 0..0),
            Asked::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, 0..0),
        };
        let served = Served {
            image: shelved.image.id,
            from: source(request),
            offset: range.start,
            served_to: range.start,
            size,
            status: status.as_u16(),
            is_over: false,
            is_complete: false,
        };
        let mut response = start(status);
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            response.insert_header((header::ETAG, etag));
        }
        let is_served = matches!(asked, Asked::Whole | Asked::Part(_));
        if is_served {
            response
                .insert_header((header::ACCEPT_RANGES, "bytes"))
                .insert_header((header::CONTENT_TYPE, "application/octet-stream"));
        }
        match asked {
            Asked::Whole if is_head => {
                self.without_body(served, Outcome::Head);
                body(response, Body::LengthOnly(size))
            }
            Asked::Whole => {
                let delivery = self.delivery(served, Outcome::Whole);
                let part = ImagePart::new(shelved.bytes, range, delivery);
                body(response, Body::Image(Box::new(part)))
            }
            Asked::Part(_) => {
                let last = range.end.saturating_sub(1);
                let content_range = format!("bytes {}-{last}/{size}", range.start);
                response.insert_header((header::CONTENT_RANGE, content_range));
                let delivery = self.delivery(served, Outcome::Part);
                let part = ImagePart::new(shelved.bytes, range, delivery);
                body(response, Body::Image(Box::new(part)))
            }
            Asked::Unchanged => {
                self.without_body(served, Outcome::NotModified);
                body(response, Body::Empty)
            }
            Asked::Other => {
                self.without_body(served, Outcome::PreconditionFailed);
                text(
                    response,
                    is_head,
                    "there is another file of this name by now\n",
                )
            }
            Asked::Unsatisfiable => {
                self.without_body(served, Outcome::RangeNotSatisfiable);
                response.insert_header((header::CONTENT_RANGE, format!("bytes */{size}")));
                let why = format!("the file has {size} bytes\n");
                text(response, is_head, &why)
            }
        }
    }

    fn delivery(&self, served: Served, whole: Outcome) -> Delivery {
        Delivery::new(served, whole, self.metrics.clone(), Arc::clone(&self.told))
    }

    fn without_body(&self, mut served: Served, outcome: Outcome) {
        self.metrics.request(outcome);
        (served.is_over, served.is_complete) = (true, true);
        (self.told)(served);
    }
}

/// What is named below `/binaries/`, without percent signs.
fn named(path: &str) -> Option<String> {
    let path = path.strip_prefix("/binaries/")?;
    let path = percent_decode_str(path).decode_utf8().ok()?;
    Some(path.into_owned())
}

fn source(request: &Request) -> IpAddr {
    request
        .peer_addr()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| {
            peer.ip().to_canonical()
        })
}

/// What every answer has. A name can stand for another file later, so caches ask each time.
fn start(status: StatusCode) -> ResponseBuilder {
    let mut response = Response::build(status);
    response
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    response
}

fn text(mut response: ResponseBuilder, is_head: bool, text: &str) -> Response<Body> {
    response.insert_header((header::CONTENT_TYPE, "text/plain; charset=utf-8"));
    body(
        response,
        if is_head {
            Body::LengthOnly(text.len() as u64)
        } else {
            Body::Text(text.to_owned().into())
        },
    )
}

fn body(mut response: ResponseBuilder, body: Body) -> Response<Body> {
    response.finish().set_body(body)
}
