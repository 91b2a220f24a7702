//! What connections are made with: made anew when the certificate is another one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslContext, SslContextBuilder};
use openssl::x509::X509;

use super::TlsError;
use crate::security::certificates::Pair;
use crate::security::{Certificates, ServerCertificates};

/// Where a certificate is from.
pub(super) enum Source {
    /// It is the server's own.
    Own(Certificates),
    /// Somebody else looks after it: a file with it, and one with its key.
    Files { certificate: PathBuf, key: PathBuf },
}

/// The context in force.
pub(super) struct Contexts {
    /// The setting of the address that it is for.
    listen: &'static str,
    source: Source,
    /// One without a certificate.
    blank: fn() -> Result<SslContextBuilder, ErrorStack>,
    made: ArcSwap<Made>,
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

impl Contexts {
    /// # Errors
    /// The files are not those of a server, or OpenSSL does not take them.
    pub(super) fn new(
        listen: &'static str,
        source: Source,
        blank: fn() -> Result<SslContextBuilder, ErrorStack>,
    ) -> Result<Self, TlsError> {
        let of = source.mark();
        let context = source.proving(blank()?)?;
        Ok(Self {
            listen,
            source,
            blank,
            made: ArcSwap::from_pointee(Made { of, context }),
        })
    }

    /// With the certificate that is there now.
    pub(super) fn current(&self) -> SslContext {
        let (made, of) = (self.made.load(), self.source.mark());
        if made.of == of {
            return made.context.clone();
        }
        let again = (self.blank)()
            .map_err(TlsError::from)
            .and_then(|blank| self.source.proving(blank));
        let context = again.unwrap_or_else(|error| {
            // Once for this certificate: what was made stands in for it until there is another.
            let listen = self.listen;
            tracing::error!("{listen} goes on with the certificate from before: {error}");
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

    /// A context that proves itself with what is there now, which may be newer than a mark from before.
    fn proving(&self, blank: SslContextBuilder) -> Result<SslContext, TlsError> {
        match self {
            Self::Own(certificates) => {
                let own = certificates.current();
                Ok(prove(blank, &own.chain, &own.key)?)
            }
            Self::Files { certificate, key } => {
                let pair = Pair::read(certificate, key)?;
                Ok(prove(blank, &pair.chain, &pair.key)?)
            }
        }
    }
}

fn prove(
    mut context: SslContextBuilder,
    chain: &[X509],
    key: &PKey<Private>,
) -> Result<SslContext, ErrorStack> {
    let mut chain = chain.iter();
    if let Some(own) = chain.next() {
        context.set_certificate(own)?;
    }
    for between in chain {
        context.add_extra_chain_cert(between.clone())?;
    }
    context.set_private_key(key)?;
    context.check_private_key()?;
    Ok(context.build())
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let data = fs::metadata(path).ok()?;
    Some((data.modified().ok()?, data.len()))
}
