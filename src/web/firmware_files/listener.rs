//! Sockets and handshakes: from `firmware.listen` to requests.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_http::{KeepAlive, Request, Response};
use actix_rt::net::TcpStream;
use actix_server::Server;
use actix_service::{ServiceFactoryExt as _, fn_service};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::timeout;

use super::Told;
use super::body::Body;
use super::connection::{Connection, Counted};
use super::http::Answers;
use super::metrics::{DownloadMetrics, Handshake};
use crate::config::Firmware;
use crate::security::Certificates;
use crate::store::FirmwareShelf;
use crate::web::router::listen_error;
use crate::web::tls::{Tls, TlsError, TlsStream};

/// What the composition root hands over.
#[expect(missing_debug_implementations, reason = "it holds trait objects")]
pub struct FirmwareFiles {
    /// The images.
    pub shelf: Arc<dyn FirmwareShelf>,
    /// By which the server proves itself, as they change.
    pub certificates: Certificates,
    /// Counters.
    pub metrics: DownloadMetrics,
    /// Who is told of answers.
    pub told: Told,
}

/// Why images cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeFilesError {
    /// The address is taken or not ours.
    #[error("firmware.listen: cannot listen on {address}: {reason}")]
    Listen {
        /// The address in the settings.
        address: SocketAddr,
        /// Why, in words.
        reason: String,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Binds `firmware.listen` and starts to serve. The server runs while the returned [`Server`] is polled (spawn it),
/// and ends by its handle's `stop`. The address is the one that was really bound, which matters for port 0.
///
/// # Errors
/// Says which address could not be bound, and why.
pub fn serve(
    settings: &Firmware,
    files: FirmwareFiles,
) -> Result<(Server, SocketAddr), ServeFilesError> {
    let tls = Arc::new(Tls::new(files.certificates)?);
    let answers = Answers {
        shelf: files.shelf,
        metrics: files.metrics,
        told: files.told,
    };
    let limits = Limits {
        request: Duration::from_secs(settings.request_timeout_s),
        idle: Duration::from_secs(settings.idle_timeout_s),
    };
    let failed = |error: io::Error| ServeFilesError::Listen {
        address: settings.listen,
        reason: listen_error(&error),
    };
    let listener = bind(settings).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let server = Server::build()
        .workers(WORKERS)
        .worker_max_blocking_threads(READERS)
        .max_concurrent_connections(settings.max_downloads)
        .disable_signals()
        .listen("firmware", listener, move || {
            connections(Arc::clone(&tls), answers.clone(), limits)
        })
        .map_err(failed)?;
    Ok((server.run(), address))
}

#[derive(Clone, Copy)]
struct Limits {
    /// For a handshake, and for the head of the first request.
    request: Duration,
    /// See `connection.rs`.
    idle: Duration,
}

/// What becomes of each connection of a worker.
fn connections(
    tls: Arc<Tls>,
    answers: Answers,
    limits: Limits,
) -> impl actix_service::ServiceFactory<TcpStream, Config = (), Response = (), Error = (), InitError = ()>
{
    let metrics = answers.metrics.clone();
    let handshakes = fn_service(move |stream: TcpStream| {
        let (tls, metrics) = (Arc::clone(&tls), metrics.clone());
        async move { shake_hands(&tls, stream, &metrics, limits).await.ok_or(()) }
    });
    let http = actix_http::HttpServiceBuilder::<Connection<TlsStream>, _>::default()
        // Only the first head is waited for here. Everything later, and an answer whose last bytes go out slowly,
        // is judged by what goes out.
        .client_request_timeout(limits.request)
        .keep_alive(KeepAlive::Os)
        .client_disconnect_timeout(limits.request)
        // A chunk is asked for when the one before has gone out completely, not earlier.
        .h1_write_buffer_size(1)
        .h1(fn_service(move |request: Request| {
            let response = answers.answer(&request);
            async move { Ok::<Response<Body>, Infallible>(response) }
        }));
    handshakes.and_then(http.map_err(|error| {
        tracing::debug!("A download over HTTPS ended: {error}");
    }))
}

async fn shake_hands(
    tls: &Tls,
    stream: TcpStream,
    metrics: &DownloadMetrics,
    limits: Limits,
) -> Option<(Connection<TlsStream>, Option<SocketAddr>)> {
    let counted = Counted::new(&metrics.connections);
    let peer = stream.peer_addr().ok();
    let _ = stream.set_nodelay(true);
    match timeout(limits.request, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            metrics.handshake(Handshake::Done);
            Some((Connection::new(stream, limits.idle, counted), peer))
        }
        Ok(Err(error)) => {
            metrics.handshake(Handshake::Failed);
            tracing::debug!("A TLS handshake failed: {error}");
            None
        }
        Err(_) => {
            metrics.handshake(Handshake::TimedOut);
            None
        }
    }
}

fn bind(settings: &Firmware) -> io::Result<TcpListener> {
    let address = settings.listen;
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // [::] takes IPv4 as well, whatever the system's default is.
        socket.set_only_v6(false)?;
    }
    // A start follows an end at once.
    socket.set_reuse_address(true)?;
    // What is accepted inherits it. The kernel would keep megabytes for a fast reader, and for one that stopped.
    socket.set_send_buffer_size(settings.send_buffer_bytes)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Threads that serve. One encrypts some hundred megabytes in a second, and thousands of devices on LTE-M want ten.
const WORKERS: usize = 1;
/// Threads that read files, at most.
const READERS: usize = 4;
/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;
