//! A certificate and its key from anywhere on disk, such as those that an ACME client renews.

use std::path::Path;

use openssl::pkey::{PKey, Private};
use openssl::x509::X509;

use super::CertificateError;
use super::files;
use super::reading::forget_errors;

/// What a server proves itself to browsers with.
#[derive(Clone)]
pub struct Pair {
    /// The server's certificate, then those between it and its CA, to be sent in this order.
    pub chain: Vec<X509>,
    /// The key of the first certificate of `chain`.
    pub key: PKey<Private>,
}

impl Pair {
    /// Reads both files, PEM or DER.
    ///
    /// # Errors
    /// A file cannot be read or holds something else, or the key is not that of the certificate.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let pair = Self {
            chain: files::certificates(certificate)?,
            key: files::private_key(key)?,
        };
        let leaf = pair.chain.first();
        let public = leaf.and_then(|leaf| leaf.public_key().ok());
        forget_errors();
        if public.is_some_and(|public| public.public_eq(&pair.key)) {
            Ok(pair)
        } else {
            Err(CertificateError::KeyMismatch {
                key: key.to_owned(),
                certificate: certificate.to_owned(),
            })
        }
    }
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair")
            .field("chain", &self.chain)
            .finish_non_exhaustive()
    }
}
