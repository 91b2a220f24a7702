//! Certificates (X.509 v3, RFC 5280): made, read, kept in files, and watched until they end.
//!
//! One CA of one's own signs what the server and the devices prove themselves with; P-256 and
//! SHA-256 throughout, because that is what constrained devices have. The files are those of the
//! command line and of `data_dir/certs`: `ca.crt`, `ca.key`, `server.crt`, `server.key`.
//!
//! | file | does |
//! |---|---|
//! | `alt_name.rs` | which names a certificate can carry |
//! | `authority.rs` | the CA: signs and renews |
//! | `reading.rs` | what a certificate says, however odd it is |
//! | `making.rs` | what the command line makes, with its files |
//! | `files.rs` | PEM and DER on disk |
//! | `server.rs` | the server's own certificates: found, made, checked, renewed |
//! | `pair.rs` | a certificate and its key that somebody else looks after |
//! | `in_force.rs` | those in use, exchanged while the server runs |
//! | `expiry.rs` | warnings before the end |

mod alt_name;
mod authority;
mod device_ends;
mod expiry;
mod files;
mod in_force;
mod making;
mod pair;
mod reading;
mod server;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

use openssl::error::ErrorStack;

use crate::domain::EndpointName;

pub use alt_name::{AltName, InvalidHost};
pub use authority::{Authority, Lifetime};
pub use device_ends::DeviceEnds;
pub use expiry::{Ending, ExpiryMetrics, ExpiryWatch, Holder};
pub use files::{CA_CERTIFICATE, CA_KEY, Folder, SERVER_CERTIFICATE, SERVER_KEY, file_stem};
pub use in_force::{Certificates, Refreshed, watch};
pub use making::{DeviceKey, Issued, check_no_server, key_pair};
pub use pair::Pair;
pub use reading::{
    Description, describe, describe_file, fingerprint, is_signed_by, names_of, normalised_serial,
    serial_hex,
};
pub use server::ServerCertificates;

/// Why certificates cannot be made, read or used. Each says in one line what is wrong, and where.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// What was read is neither a certificate nor a key nor a request.
    #[error("{path} holds {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it holds instead.
        reason: &'static str,
    },
    /// A file would be overwritten.
    #[error("{0} exists already; --force replaces it")]
    Exists(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot {verb} {path}")]
    Io {
        /// `read` or `write`.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A private key and a certificate are no pair.
    #[error("{key} is not the private key of {certificate}")]
    KeyMismatch {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        certificate: PathBuf,
    },
    /// The server's key suits none of the cipher suites that are offered.
    #[error("{0} holds no key on an elliptic curve; devices need one (ECDSA)")]
    KeyKind(PathBuf),
    /// One file is there and the other that belongs to it is not.
    #[error("{missing} is missing, although {present} is there; {advice}")]
    Missing {
        /// What is not there.
        missing: PathBuf,
        /// What is there.
        present: PathBuf,
        /// What can be done.
        advice: &'static str,
    },
    /// A host of the settings is none.
    #[error("setting `certificates.hosts`")]
    Host(#[from] InvalidHost),
    /// The name cannot be put into a certificate.
    #[error(
        "`{0}` cannot be put into a certificate: a name of more than 64 characters must be a URI or \
         a DNS name; store a certificate of the device's own for it instead"
    )]
    Name(String),
    /// A certificate request that cannot be signed.
    #[error("the certificate request {0}")]
    Request(String),
    /// A device would be called like a server.
    #[error(
        "`{name}` is a name of the server ({certificate}): with it, the device could pass for the \
         server"
    )]
    NameOfServer {
        /// The name.
        name: EndpointName,
        /// The file of the server's certificate.
        certificate: PathBuf,
    },
    /// A CA did not sign a certificate.
    #[error("{certificate} was not signed by {ca}: {reason}")]
    NotSigned {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the CA.
        ca: PathBuf,
        /// What the verification said.
        reason: String,
    },
    /// The CA's certificate has ended.
    #[error("{0} has ended; nothing can be signed by it any more")]
    CaEnded(PathBuf),
    /// OpenSSL refused.
    #[error("OpenSSL refuses")]
    OpenSsl(#[from] ErrorStack),
    /// There is no randomness.
    #[error("the system gives no random bytes")]
    Random(#[from] getrandom::Error),
}
