//! HEAD, for what watches whether a server answers: everything that can be read answers it (RFC 9110 section 9.3.2).

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, header};
use actix_web::middleware::Next;

/// Lets the handler of GET answer; the HTTP layer, which knows what was asked, sends the head of it alone.
///
/// # Errors
/// Those of the handler.
pub(super) async fn answer_as_get<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    // An upgrade is asked for with GET alone (RFC 6455 section 4.1).
    if request.method() == Method::HEAD && !request.headers().contains_key(header::UPGRADE) {
        request.head_mut().method = Method::GET;
    }
    next.call(request).await
}
