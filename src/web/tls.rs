//! TLS for what is served over HTTPS: by the certificates in force, whichever these are when a connection comes.
//!
//! TLS 1.2 and 1.3 (RFC 5246, RFC 8446). The server proves itself, clients do not. There are no sessions to be taken
//! up again, so every connection sees the certificate in force.

mod contexts;
mod pages;

use std::io;
use std::pin::Pin;

use actix_rt::net::TcpStream;
use openssl::error::ErrorStack;
use openssl::ssl::{
    Ssl, SslContextBuilder, SslMethod, SslMode, SslOptions, SslSessionCacheMode, SslVersion,
};
use tokio_openssl::SslStream;

use self::contexts::{Contexts, Source};
pub(super) use self::pages::acceptor;
use crate::security::Certificates;
use crate::security::certificates::CertificateError;

/// A connection after its handshake.
pub(super) type TlsStream = SslStream<TcpStream>;

/// Why TLS cannot be served with a certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The files are not those of a server.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// OpenSSL does not take it.
    #[error("TLS: OpenSSL refuses: {0}")]
    Refused(#[from] ErrorStack),
}

/// Makes TLS of TCP, for devices.
pub(super) struct Tls(Contexts);

impl Tls {
    /// With these certificates, as they change.
    pub(super) fn new(certificates: Certificates) -> Result<Self, TlsError> {
        let source = Source::Own(certificates);
        Contexts::new("firmware.listen", source, for_devices).map(Self)
    }

    /// The handshake of one connection.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream> {
        let ssl = Ssl::new(&self.0.current()).map_err(io::Error::other)?;
        let mut stream = SslStream::new(ssl, stream).map_err(io::Error::other)?;
        Pin::new(&mut stream)
            .accept()
            .await
            .map_err(|error| error.into_io_error().unwrap_or_else(io::Error::other))?;
        Ok(stream)
    }
}

fn for_devices() -> Result<SslContextBuilder, ErrorStack> {
    let mut context = SslContextBuilder::new(SslMethod::tls_server())?;
    context.set_cipher_list(TLS_1_2_SUITES)?;
    context.set_ciphersuites(TLS_1_3_SUITES)?;
    set_up(&mut context)?;
    Ok(context)
}

/// What holds for devices and browsers.
fn set_up(context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
    context.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    context.set_sigalgs_list("ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:RSA-PSS+SHA256:RSA+SHA256")?;
    context.set_groups_list("P-256:X25519:P-384")?;
    context.set_options(
        SslOptions::NO_COMPRESSION | SslOptions::NO_RENEGOTIATION | SslOptions::NO_TICKET,
    );
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    context.set_num_tickets(0)?;
    // Idle connections give their buffers of 32 KiB back.
    context.set_mode(
        SslMode::RELEASE_BUFFERS
            | SslMode::ENABLE_PARTIAL_WRITE
            | SslMode::ACCEPT_MOVING_WRITE_BUFFER,
    );
    Ok(())
}

/// With forward secrecy; the client chooses among them, since it is the one that has to count its cycles. CCM with 8
/// bytes is what LwM2M asks of devices for DTLS, and some have nothing else: OpenSSL counts it as weak, hence the
/// level, under which everything else is named here. CBC is for modems that know no AEAD. The keys of the server are
/// on curves; the suites with RSA are for the day when they are not.
const TLS_1_2_SUITES: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
    ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
    ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:\
    ECDHE-ECDSA-AES128-CCM:ECDHE-ECDSA-AES256-CCM:ECDHE-ECDSA-AES128-CCM8:\
    ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0";
const TLS_1_3_SUITES: &str = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:\
    TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256";
