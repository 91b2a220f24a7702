//! Certificates and keys on disk: PEM, or DER for devices without a PEM parser. Keys are readable by
//! their owner only, and nothing is overwritten unless that is asked for.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use openssl::pkey::{PKey, Private};
use openssl::x509::{X509, X509Req};
use sha2::Digest as _;

use super::CertificateError;
use super::reading::{forget_errors, from_der};
use crate::domain::EndpointName;

/// The certificate of the CA, or those of several.
pub const CA_CERTIFICATE: &str = "ca.crt";
/// The private key of the CA; needed to sign only.
pub const CA_KEY: &str = "ca.key";
/// The certificate of the server, and those between it and the CA.
pub const SERVER_CERTIFICATE: &str = "server.crt";
/// The private key of the server.
pub const SERVER_KEY: &str = "server.key";

/// The names of the files for a device's certificate and key, without their endings: what files
/// dislike is replaced by `_`. A very long name is cut and ends with a hash of the whole.
pub fn file_stem(endpoint: &EndpointName) -> String {
    let clean: String = endpoint
        .as_str()
        .chars()
        .map(|character| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' => character,
            _ => '_',
        })
        .collect();
    let clean = match clean.strip_prefix(['.', '-']) {
        Some(rest) => format!("_{rest}"),
        None => clean,
    };
    // A device called `ca` must not take the place of the CA.
    if ["ca", "server"].contains(&clean.to_ascii_lowercase().as_str()) {
        return format!("_{clean}");
    }
    if clean.len() <= MAX_STEM_BYTES {
        return clean;
    }
    let hash = hex::encode(sha2::Sha256::digest(endpoint.as_str()));
    let (head, tail) = (clean.get(..MAX_STEM_BYTES - 17), hash.get(..16));
    format!("{}-{}", head.unwrap_or_default(), tail.unwrap_or_default())
}

/// A folder that files are written into.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    replace: bool,
}

impl Folder {
    /// A folder, which need not exist yet. With `replace`, files that are there are overwritten.
    pub fn new(path: impl Into<PathBuf>, replace: bool) -> Self {
        Self {
            path: path.into(),
            replace,
        }
    }

    /// The place of a file.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Fails when one of these files is there and may not be overwritten: to be asked before the
    /// first one is written, so that a refused command leaves everything as it was.
    ///
    /// # Errors
    /// Names the file.
    pub fn check_free(&self, names: &[&str]) -> Result<(), CertificateError> {
        let taken = names
            .iter()
            .map(|name| self.file(name))
            .find(|path| !self.replace && path.symlink_metadata().is_ok());
        taken.map_or(Ok(()), |path| Err(CertificateError::Exists(path)))
    }

    /// Writes a certificate, for everybody to read.
    pub(super) fn write_public(
        &self,
        name: &str,
        bytes: &[u8],
    ) -> Result<PathBuf, CertificateError> {
        self.write(name, bytes, 0o644)
    }

    /// Writes a key, for its owner only.
    pub(super) fn write_secret(
        &self,
        name: &str,
        bytes: &[u8],
    ) -> Result<PathBuf, CertificateError> {
        self.write(name, bytes, 0o600)
    }

    fn write(&self, name: &str, bytes: &[u8], mode: u32) -> Result<PathBuf, CertificateError> {
        let path = self.file(name);
        if let Err(source) = self.try_write(&path, bytes, mode) {
            if source.kind() == io::ErrorKind::AlreadyExists && !self.replace {
                return Err(CertificateError::Exists(path));
            }
            return Err(CertificateError::Io {
                verb: "write",
                path,
                source,
            });
        }
        Ok(path)
    }

    /// Whole or not at all: a server that reads meanwhile, or a crash, never finds half a file.
    fn try_write(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        // It may come to hold the key of the CA.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)?;
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let temporary = self.path.join(format!(".{}.tmp", hex::encode(random)));
        let written = self.publish(&temporary, path, bytes, mode);
        if written.is_err() || !self.replace {
            let _ = fs::remove_file(&temporary);
        }
        written?;
        File::open(&self.path)?.sync_all()
    }

    fn publish(&self, temporary: &Path, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        if self.replace {
            return fs::rename(temporary, path);
        }
        // Unlike a renaming, a link does not take the place of a file.
        match fs::hard_link(temporary, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !path.exists() => {
                // Some file systems have no links.
                fs::rename(temporary, path)
            }
            linked => linked,
        }
    }
}

/// The bytes of a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|source| CertificateError::Io {
        verb: "read",
        path: path.to_owned(),
        source,
    })
}

/// The certificates of a PEM file, or the one of a DER file; at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<X509>, CertificateError> {
    certificates_of(&read(path)?, path)
}

pub(super) fn certificates_of(bytes: &[u8], path: &Path) -> Result<Vec<X509>, CertificateError> {
    if let Some(certificate) = from_der(bytes) {
        return Ok(vec![certificate]);
    }
    let damaged = |reason| CertificateError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let read = X509::stack_from_pem(bytes);
    forget_errors();
    match read {
        Ok(certificates) if certificates.is_empty() => Err(damaged("no certificate")),
        Ok(certificates) => Ok(certificates),
        Err(_) => Err(damaged("a damaged certificate")),
    }
}

/// The private key of a PEM or DER file.
pub(super) fn private_key(path: &Path) -> Result<PKey<Private>, CertificateError> {
    let bytes = zeroize::Zeroizing::new(read(path)?);
    private_key_of(&bytes, path)
}

pub(super) fn private_key_of(bytes: &[u8], path: &Path) -> Result<PKey<Private>, CertificateError> {
    let wants_password = Cell::new(false);
    // Without a callback OpenSSL asks for a password on the terminal, and a server waits there.
    let key = PKey::private_key_from_pem_callback(bytes, |_| {
        wants_password.set(true);
        Ok(0)
    })
    .or_else(|_| PKey::private_key_from_der(bytes));
    forget_errors();
    key.map_err(|_| CertificateError::Damaged {
        path: path.to_owned(),
        reason: if wants_password.get() {
            "a private key with a password; it has to be without one"
        } else {
            "no private key"
        },
    })
}

/// A certificate request of a PEM or DER file (PKCS #10, RFC 2986).
pub(super) fn request(path: &Path) -> Result<X509Req, CertificateError> {
    let bytes = read(path)?;
    let request = X509Req::from_pem(&bytes).or_else(|_| X509Req::from_der(&bytes));
    forget_errors();
    request.map_err(|_| CertificateError::Damaged {
        path: path.to_owned(),
        reason: "no certificate request",
    })
}

/// File systems take 255 bytes; `.crt.der` and more must fit behind.
const MAX_STEM_BYTES: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn stem(name: &str) -> String {
        file_stem(&EndpointName::new(name).expect("a name"))
    }

    #[test]
    fn file_names_are_made_of_harmless_characters() {
        assert_eq!(stem("urn:imei:490154203237518"), "urn_imei_490154203237518");
        assert_eq!(stem("../../etc/passwd"), "_._.._etc_passwd");
        assert_eq!(stem("-rf"), "_rf");
        assert_eq!(stem("gerät 7"), "ger_t_7");
        assert_eq!(stem("CA"), "_CA");
        assert_eq!(stem("server"), "_server");
    }

    #[test]
    fn long_names_that_differ_at_the_end_have_different_files() {
        let (one, two) = ("x".repeat(254) + "1", "x".repeat(254) + "2");
        assert_ne!(stem(&one), stem(&two));
        assert_eq!(stem(&one).len(), 200);
    }
}
