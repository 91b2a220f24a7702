//! HTTPS for people and programs: the pages, the API and the live socket.

use openssl::error::ErrorStack;
use openssl::ssl::{
    ClientHelloResponse, SslAcceptor, SslAcceptorBuilder, SslContextBuilder, SslMethod,
};

use super::contexts::{Contexts, Source};
use super::{TlsError, set_up};
use crate::config::Web;
use crate::security::Certificates;

/// What `web.listen` makes connections with: the certificate that the settings name, as it changes. Each connection
/// sees the one in force when it begins.
///
/// # Errors
/// The files are not those of a server, or OpenSSL does not take them.
pub(in crate::web) fn acceptor(
    settings: &Web,
    own: &Certificates,
) -> Result<SslAcceptorBuilder, TlsError> {
    let source = match settings.tls_files() {
        None => Source::Own(own.clone()),
        Some((certificate, key)) => Source::Files {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        },
    };
    let contexts = Contexts::new("web.listen", source, blank)?;
    let mut builder = for_browsers()?;
    // What is taken of that context is its certificate; suites and versions stay those that a connection begins with.
    builder.set_client_hello_callback(move |ssl, _| {
        ssl.set_ssl_context(&contexts.current())?;
        Ok(ClientHelloResponse::SUCCESS)
    });
    Ok(builder)
}

/// What browsers of the last years speak (Mozilla's intermediate list): TLS 1.2 with forward secrecy and AEAD, and
/// TLS 1.3. Without ALPN, so that it is HTTP/1.1: the pages ask for a dozen small files, once.
fn for_browsers() -> Result<SslAcceptorBuilder, ErrorStack> {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    set_up(&mut builder)?;
    Ok(builder)
}

fn blank() -> Result<SslContextBuilder, ErrorStack> {
    let mut context = SslContextBuilder::new(SslMethod::tls_server())?;
    set_up(&mut context)?;
    Ok(context)
}
