//! The routes, what every request passes on its way to them, and the HTTP server.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use actix_identity::IdentityMiddleware;
use actix_web::body::MessageBody;
use actix_web::dev::{Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App, Error, HttpServer};
use tracing_actix_web::TracingLogger;

use crate::config::Settings;

use super::auth::{access, csrf, session};
use super::state::AppState;
use super::tls::{self, TlsError};
use super::{api, bodies, fallback, head, metrics, pages, security};

/// How long a client may take to send the head of a request; then it is cut off (slow loris).
const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long requests may go on once the server is told to stop, in seconds.
const SHUTDOWN_TIMEOUT_S: u64 = 10;

/// Connections that one worker holds at once.
const MAX_CONNECTIONS_PER_WORKER: usize = 4096;

/// The largest form of a page.
const MAX_FORM_BYTES: usize = 64 * 1024;

/// Why the HTTP server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken or not ours.
    #[error("web.listen: cannot listen on {address}: {reason}")]
    Listen {
        /// The address in the settings.
        address: SocketAddr,
        /// Why, in words.
        reason: String,
    },
    /// The certificate cannot be used.
    #[error("web.tls: {0}")]
    Tls(#[from] TlsError),
}

/// Binds `web.listen` and starts to serve. The server runs while the returned [`Server`] is polled
/// (spawn it), and ends by its handle's `stop`; signals are the composition root's matter. The
/// URLs are of the addresses that were really bound, which matters for port 0.
///
/// # Errors
/// Says which address could not be bound, or what is wrong with the certificate.
pub fn serve(state: Data<AppState>) -> Result<(Server, Vec<String>), ServeError> {
    let web = &state.settings.web;
    let (address, workers) = (web.listen, web.workers);
    let acceptor = if web.tls {
        Some(tls::acceptor(web, &state.certificates)?)
    } else {
        None
    };
    let scheme = if web.tls { "https" } else { "http" };
    let server = HttpServer::new(move || app(state.clone()))
        .workers(workers)
        .client_request_timeout(REQUEST_HEAD_TIMEOUT)
        .max_connections(MAX_CONNECTIONS_PER_WORKER)
        .shutdown_timeout(SHUTDOWN_TIMEOUT_S)
        .tls_handshake_timeout(REQUEST_HEAD_TIMEOUT)
        .disable_signals();
    let bound = match acceptor {
        Some(acceptor) => server.bind_openssl(address, acceptor),
        None => server.bind(address),
    };
    let server = bound.map_err(|error| ServeError::Listen {
        address,
        reason: listen_error(&error),
    })?;
    let urls = server.addrs().into_iter();
    let urls = urls.map(|address| format!("{scheme}://{address}"));
    let urls = urls.collect();
    Ok((server.run(), urls))
}

/// Why an address cannot be listened on, in words.
pub(super) fn listen_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program uses this port".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied => "this port needs more rights".to_owned(),
        _ => error.to_string(),
    }
}

/// The whole application of one worker: the routes and what every request passes before them.
pub fn app(
    state: Data<AppState>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let sessions = session::middleware(&state);
    let settings = state.settings.clone();
    // The last one is the first that a request passes.
    App::new()
        .app_data(state)
        .default_service(web::to(fallback::not_found))
        .configure(|cfg| configure(cfg, &settings))
        .wrap(from_fn(head::answer_as_get))
        .wrap(from_fn(access::authenticate))
        .wrap(from_fn(csrf::refuse_cross_site))
        .wrap(IdentityMiddleware::default())
        .wrap(sessions)
        .wrap(from_fn(bodies::bound_bodies))
        .wrap(from_fn(security::add_headers))
        .wrap(from_fn(metrics::measure))
        .wrap(TracingLogger::default())
}

/// Every route. Pages come last and may set a default service of their own: unknown paths below
/// `/api`, `/health` and `/metrics` are answered with a problem document before that.
fn configure(cfg: &mut ServiceConfig, settings: &Settings) {
    api::configure(cfg, settings);
    cfg.app_data(web::FormConfig::default().limit(MAX_FORM_BYTES));
    cfg.configure(pages::configure);
}
