//! Refuses what another site made somebody's browser send: changes, and the live socket.
//!
//! Browsers say where a request comes from in `Sec-Fetch-Site` (over HTTPS and on localhost) and in
//! `Origin` (with every request that is not a plain GET or HEAD, and with every WebSocket). A
//! request with a Bearer token is exempt, since no browser adds one by itself. A request without
//! either header is no browser's.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap};
use actix_web::http::{Method, Uri};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpRequest, ResponseError as _};

use crate::web::{ApiError, AppState};

use super::proxies;

/// The check as a middleware.
///
/// # Errors
/// Those of the handler; a refusal is an answer.
pub async fn refuse_cross_site<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if is_cross_site(request.request()) {
        let refusal = ApiError::cross_site().error_response();
        return Ok(request.into_response(refusal));
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

fn is_cross_site(request: &HttpRequest) -> bool {
    let headers = request.headers();
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    let exempt = headers.contains_key(header::AUTHORIZATION);
    if exempt || (safe && !headers.contains_key(header::UPGRADE)) {
        return false;
    }
    // `none`: the person typed the address or opened a bookmark.
    let foreign_site = headers
        .get("sec-fetch-site")
        .is_some_and(|site| site != "same-origin" && site != "none");
    let over_https = request
        .app_data::<Data<AppState>>()
        .is_some_and(|state| state.settings.web.is_https());
    let foreign_origin = headers.get_all(header::ORIGIN).any(|origin| {
        let parts = origin.to_str().ok().and_then(parts_of);
        parts.is_none_or(|(scheme, host)| {
            // Whoever sits in the network between can make a page of our name, but not one over HTTPS.
            (over_https && scheme != "https") || !own_hosts(request).contains(&host)
        })
    });
    foreign_site || foreign_origin
}

/// The names under which this server was asked: `Host`, and then `X-Forwarded-Host` of a trusted proxy.
pub(in crate::web) fn own_hosts(request: &HttpRequest) -> Vec<String> {
    let headers = request.headers();
    let mut hosts = Vec::with_capacity(2);
    hosts.extend(header_text(headers, header::HOST.as_str()));
    let trusted = request.app_data::<Data<AppState>>().is_some_and(|state| {
        proxies::is_from_trusted_proxy(request, &state.settings.web.trusted_proxies)
    });
    if trusted {
        hosts.extend(header_text(headers, "x-forwarded-host"));
    }
    hosts
}

fn header_text(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    Some(text.trim().to_ascii_lowercase())
}

/// The scheme of an origin, and its host and port; `null` has none.
fn parts_of(origin: &str) -> Option<(String, String)> {
    let uri: Uri = origin.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    Some((scheme, uri.authority()?.as_str().to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn refused(request: TestRequest) -> bool {
        let request = request.insert_header(("host", "nexus.example:8000"));
        is_cross_site(&request.to_http_request())
    }

    #[test]
    fn reading_is_always_allowed() {
        let foreign = ("origin", "https://evil.example");
        assert!(!refused(TestRequest::get().insert_header(foreign)));
    }

    #[test]
    fn changes_come_from_our_own_pages_only() {
        let post = || TestRequest::post();
        for allowed in [
            post(),
            post().insert_header(("origin", "http://nexus.example:8000")),
            post().insert_header(("origin", "http://NEXUS.example:8000")),
            post().insert_header(("sec-fetch-site", "same-origin")),
            post().insert_header(("sec-fetch-site", "none")),
        ] {
            assert!(!refused(allowed));
        }
        for foreign in [
            post().insert_header(("origin", "https://evil.example")),
            post().insert_header(("origin", "http://nexus.example:8001")),
            post().insert_header(("origin", "null")),
            post().insert_header(("origin", "nexus.example:8000")),
            post().insert_header(("sec-fetch-site", "cross-site")),
            post().insert_header(("sec-fetch-site", "same-site")),
        ] {
            assert!(refused(foreign));
        }
    }

    #[test]
    fn the_live_socket_is_checked_though_it_is_a_get() {
        let upgrade = TestRequest::get()
            .insert_header(("upgrade", "websocket"))
            .insert_header(("origin", "https://evil.example"));
        assert!(refused(upgrade));
    }

    #[test]
    fn a_token_is_no_cookie() {
        let program = TestRequest::post()
            .insert_header(("authorization", "Bearer fnx_x"))
            .insert_header(("origin", "https://tool.example"));
        assert!(!refused(program));
    }
}
