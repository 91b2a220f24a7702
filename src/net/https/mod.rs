//! Files over HTTPS, as devices fetch them: part after part, and on from where the connection broke.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use awc::error::{ConnectError, PayloadError, SendRequestError};
use awc::http::{StatusCode, Uri, header};
use bytes::Bytes;
use futures_util::StreamExt as _;
use openssl::error::ErrorStack;
use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslVerifyMode};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509Ref, X509VerifyResult};
use tokio::time::timeout;

/// Whom a client of HTTPS believes. Cheap to clone; two are equal when one is a clone of the other.
#[derive(Clone)]
pub struct Trust {
    /// None: any server is believed.
    authorities: Option<Arc<[X509]>>,
    connector: SslConnector,
}

impl Trust {
    /// Only servers whose certificate one of these authorities has signed, for the host that was asked.
    ///
    /// # Errors
    /// These are no certificates in PEM.
    pub fn authorities(pem: &[u8]) -> Result<Self, HttpError> {
        Self::of(X509::stack_from_pem(pem)?)
    }

    /// The same, of certificates that are at hand. Each of them is an end of a chain, self-signed or not.
    ///
    /// # Errors
    /// There is none, or OpenSSL cannot be set up.
    pub fn of(certificates: Vec<X509>) -> Result<Self, HttpError> {
        if certificates.is_empty() {
            let reason = "there is no certificate of an authority";
            return Err(HttpError::InvalidUrl(reason.to_owned()));
        }
        let connector = believing(&certificates)?.build();
        Ok(Self {
            authorities: Some(certificates.into()),
            connector,
        })
    }

    /// Any server.
    ///
    /// # Errors
    /// OpenSSL cannot be set up.
    pub fn anybody() -> Result<Self, HttpError> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        builder.set_verify(SslVerifyMode::NONE);
        Ok(Self {
            authorities: None,
            connector: builder.build(),
        })
    }

    /// For one host.
    fn connector(&self, host: &str) -> Result<SslConnector, ErrorStack> {
        let literal = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let address: Option<Ipv6Addr> = literal.and_then(|literal| literal.parse().ok());
        let (Some(authorities), Some(address)) = (&self.authorities, address) else {
            return Ok(self.connector.clone());
        };
        // What lies between takes `[::1]` for the name of a host, which no certificate has.
        let mut builder = believing(authorities)?;
        builder.set_verify_callback(SslVerifyMode::PEER, move |is_fine, chain| {
            let is_for_address = || {
                chain.error().as_raw() == openssl_sys::X509_V_ERR_HOSTNAME_MISMATCH
                    && chain.error_depth() == 0
                    && chain
                        .current_cert()
                        .is_some_and(|certificate| is_for(certificate, address.into()))
            };
            if !is_fine && is_for_address() {
                chain.set_error(X509VerifyResult::OK);
                return true;
            }
            is_fine
        });
        Ok(builder.build())
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("anybody", &self.authorities.is_none())
            .finish_non_exhaustive()
    }
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        match (&self.authorities, &other.authorities) {
            (None, None) => true,
            (Some(left), Some(right)) => Arc::ptr_eq(left, right),
            _ => false,
        }
    }
}

/// Why there is no file, or no more of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The connection was not made, or broke.
    #[error("{0}")]
    Broken(String),
    /// The URL is none, or the trust was made of no certificates.
    #[error("{0}")]
    InvalidUrl(String),
    /// The server answers with this status.
    #[error("the server answers {0}")]
    Status(StatusCode),
    /// The server has not proven itself.
    #[error("{0}")]
    Untrusted(String),
}

impl From<ErrorStack> for HttpError {
    fn from(error: ErrorStack) -> Self {
        Self::InvalidUrl(error.to_string())
    }
}

/// Asks for a URL, and returns with which status it is answered.
///
/// # Errors
/// There is no answer in this time, or the server is not believed.
pub async fn status(trust: &Trust, url: &str, patience: Duration) -> Result<StatusCode, HttpError> {
    let uri = uri(url)?;
    let connector = awc::Connector::new()
        .openssl(trust.connector(uri.host().unwrap_or_default())?)
        .timeout(patience)
        .handshake_timeout(patience);
    let client = awc::Client::builder()
        .connector(connector)
        .timeout(patience)
        .disable_redirects()
        .finish();
    let answer = client.get(uri).send().await;
    Ok(answer.map_err(|error| broken(&error))?.status())
}

fn uri(url: &str) -> Result<Uri, HttpError> {
    let uri: Uri = url
        .parse()
        .map_err(|error| HttpError::InvalidUrl(format!("{url} is no URL: {error}")))?;
    let host = uri.host().unwrap_or_default();
    if host.is_empty() || !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(HttpError::InvalidUrl(format!("{url} is no URL of a file")));
    }
    Ok(uri)
}

/// A file that comes. Dropped, the connection is closed.
pub struct Download {
    body: awc::ClientResponse,
    /// Where it begins: where it was asked from, or 0 when it is another file than before.
    pub offset: u64,
    /// Bytes of the whole file.
    pub total: Option<u64>,
    /// Its entity tag, as the server writes it.
    pub tag: Option<String>,
}

impl Download {
    /// Begins to fetch a file from a byte on; all of it, when its entity tag is not `tag` any more.
    ///
    /// # Errors
    /// The server cannot be reached or is not believed, or there is no such file.
    pub async fn begin(
        trust: &Trust,
        url: &str,
        from: u64,
        tag: Option<&str>,
    ) -> Result<Self, HttpError> {
        let uri = uri(url)?;
        let host = uri.host().unwrap_or_default();
        let connector = awc::Connector::new()
            .openssl(trust.connector(host)?)
            .timeout(CONNECTING)
            .handshake_timeout(CONNECTING);
        let client = awc::Client::builder()
            .connector(connector)
            .timeout(SILENCE)
            .disable_redirects()
            .finish();
        let asked = async |from: u64| {
            let mut request = client.get(uri.clone());
            if from > 0 {
                request = request.insert_header((header::RANGE, format!("bytes={from}-")));
                if let Some(tag) = tag {
                    request = request.insert_header((header::IF_RANGE, tag));
                }
            }
            request.send().await.map_err(|error| broken(&error))
        };
        let mut response = asked(from).await?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && from > 0 {
            // The file has become shorter.
            response = asked(0).await?;
        }
        let text = |name| {
            let value = response.headers().get(name);
            value
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let (offset, total) = match response.status() {
            StatusCode::OK => {
                let length = text(header::CONTENT_LENGTH);
                (0, length.and_then(|length| length.parse().ok()))
            }
            StatusCode::PARTIAL_CONTENT => {
                let range = text(header::CONTENT_RANGE);
                let wrong = || HttpError::Broken("the range that came is not told".to_owned());
                range.as_deref().and_then(content_range).ok_or_else(wrong)?
            }
            status => return Err(HttpError::Status(status)),
        };
        let tag = text(header::ETAG);
        Ok(Self {
            body: response,
            offset,
            total,
            tag,
        })
    }

    /// The next bytes; nothing at the end.
    ///
    /// # Errors
    /// The connection broke, or nothing came for half a minute.
    pub async fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        let next = timeout(SILENCE, self.body.next()).await;
        let next =
            next.map_err(|_| HttpError::Broken("the server has fallen silent".to_owned()))?;
        next.transpose()
            .map_err(|error: PayloadError| HttpError::Broken(error.to_string()))
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("offset", &self.offset)
            .field("total", &self.total)
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}

fn believing(authorities: &[X509]) -> Result<SslConnectorBuilder, ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    for certificate in authorities {
        store.add_cert(certificate.clone())?;
    }
    store.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    builder.set_cert_store(store.build());
    Ok(builder)
}

/// Whether a certificate names an address.
fn is_for(certificate: &X509Ref, address: IpAddr) -> bool {
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let names = certificate.subject_alt_names();
    names.is_some_and(|names| {
        names
            .iter()
            .any(|name| name.ipaddress() == Some(octets.as_slice()))
    })
}

fn broken(error: &SendRequestError) -> HttpError {
    let text = error.to_string();
    match error {
        SendRequestError::Url(_) => HttpError::InvalidUrl(text),
        SendRequestError::Connect(ConnectError::Io(inner))
            if inner.kind() == io::ErrorKind::Other && text.contains(UNTRUSTED) =>
        {
            HttpError::Untrusted(text)
        }
        _ => HttpError::Broken(text),
    }
}

/// `bytes FROM-TO/TOTAL`, the total perhaps `*`: from where, and how many there are.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (from, _) = range.split_once('-')?;
    Some((from.parse().ok()?, total.parse().ok()))
}

/// What OpenSSL says of a certificate that it does not believe.
const UNTRUSTED: &str = "certificate verify failed";
/// For the connection, and for TLS.
const CONNECTING: Duration = Duration::from_secs(10);
/// No server that works says nothing for so long.
const SILENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
