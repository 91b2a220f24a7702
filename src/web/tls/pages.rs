//! HTTPS for people and programs: the pages, the API and the live socket.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use openssl::ssl::{ClientHelloResponse, SslAcceptor, SslAcceptorBuilder, SslContext, SslMethod};

use super::{TlsError, set_up};
use crate::config::Web;
use crate::security::certificates::Pair;
use crate::security::{Certificates, ServerCertificates};

/// What `web.listen` accepts connections with.
pub(in crate::web) struct Acceptor {
    source: Source,
    made: ArcSwap<Made>,
}

/// Where the certificate is from.
enum Source {
    /// It is the server's own.
    Own(Certificates),
    /// Somebody else looks after it: a file with it, and one with its key.
    Files { certificate: PathBuf, key: PathBuf },
}

/// A context and what it was made of.
struct Made {
    of: Mark,
    context: SslContext,
}

/// By which it is seen that the certificate is another one.
enum Mark {
    Own(Arc<ServerCertificates>),
    /// When each file was changed last, and its bytes; nothing of one that cannot be read.
    Files([Option<(SystemTime, u64)>; 2]),
}

impl PartialEq for Mark {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Own(one), Self::Own(other)) => Arc::ptr_eq(one, other),
            (Self::Files(one), Self::Files(other)) => one == other,
            _ => false,
        }
    }
}

impl Acceptor {
    /// With the certificate that the settings name, as it changes.
    ///
    /// # Errors
    /// The files are not those of a server, or OpenSSL does not take them.
    pub(in crate::web) fn new(settings: &Web, own: &Certificates) -> Result<Self, TlsError> {
        let source = match settings.tls_files() {
            None => Source::Own(own.clone()),
            Some((certificate, key)) => Source::Files {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
            },
        };
        let of = source.mark();
        let context = source.context()?;
        Ok(Self {
            source,
            made: ArcSwap::from_pointee(Made { of, context }),
        })
    }

    /// What makes the connections. Each of them sees the certificate in force when it begins.
    ///
    /// # Errors
    /// OpenSSL cannot be set up.
    pub(in crate::web) fn builder(self) -> Result<SslAcceptorBuilder, TlsError> {
        let mut builder = acceptor()?;
        builder.set_client_hello_callback(move |ssl, _| {
            ssl.set_ssl_context(&self.context())?;
            Ok(ClientHelloResponse::SUCCESS)
        });
        Ok(builder)
    }

    fn context(&self) -> SslContext {
        let (made, of) = (self.made.load(), self.source.mark());
        if made.of == of {
            return made.context.clone();
        }
        let context = self.source.context().unwrap_or_else(|error| {
            // Once for these files: what was made stands in for them until they are others.
            tracing::error!("web.listen goes on with the certificate from before: {error}");
            made.context.clone()
        });
        self.made.store(Arc::new(Made {
            of,
            context: context.clone(),
        }));
        context
    }
}

impl Source {
    fn mark(&self) -> Mark {
        match self {
            Self::Own(certificates) => Mark::Own(certificates.current()),
            Self::Files { certificate, key } => Mark::Files([stamp(certificate), stamp(key)]),
        }
    }

    /// A context of what is there now, which may be newer than a mark from before.
    fn context(&self) -> Result<SslContext, TlsError> {
        let mut builder = acceptor()?;
        match self {
            Self::Own(certificates) => {
                let own = certificates.current();
                set_up(&mut builder, &own.chain, &own.key)?;
            }
            Self::Files { certificate, key } => {
                let pair = Pair::read(certificate, key)?;
                set_up(&mut builder, &pair.chain, &pair.key)?;
            }
        }
        Ok(builder.build().into_context())
    }
}

/// What browsers of the last years speak (Mozilla's intermediate list): TLS 1.2 with forward secrecy and AEAD, and
/// TLS 1.3. Without ALPN, so that it is HTTP/1.1: the pages ask for a dozen small files, once.
fn acceptor() -> Result<SslAcceptorBuilder, TlsError> {
    Ok(SslAcceptor::mozilla_intermediate_v5(
        SslMethod::tls_server(),
    )?)
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let data = fs::metadata(path).ok()?;
    Some((data.modified().ok()?, data.len()))
}
