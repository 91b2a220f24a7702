//! Secrets at rest: sealed with a key that is kept beside the database and not in it.
//!
//! A sealed secret is one version byte, four bytes that name the key, and what a [`Sealer`] makes of it. The
//! row and the identity that it belongs to are authenticated with it: moved to another row it does not open.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use openssl::md::Md;
use openssl::pkey::Id;
use openssl::pkey_ctx::PkeyCtx;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::sealer::{KEY_BYTES, Sealer};
use crate::domain::CredentialId;

/// The environment variable that takes the place of the key file: 64 hex digits.
pub const SECRETS_KEY_VARIABLE: &str = "FLOWNEXUS_SECRETS_KEY";

/// The key file, in `data_dir`.
pub const SECRETS_KEY_FILE: &str = "secrets.key";

/// Seals and opens secrets. Clones share the key.
#[derive(Clone)]
pub struct Vault {
    place: Arc<Place>,
}

struct Place {
    file: PathBuf,
    /// Read at its first use; until then the file need not exist.
    key: OnceLock<Key>,
}

struct Key {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    name: KeyName,
    /// For people.
    from: String,
}

/// What tells one key from another without telling anything of it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct KeyName([u8; NAME_BYTES]);

/// Why a secret cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// It belongs to another row, or somebody changed it.
    #[error("the secret of credential {0} was changed or moved since it was sealed")]
    Damaged(CredentialId),
    /// The key file cannot be used.
    #[error("the key of the secrets, {}, {why}", file.display())]
    File {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is no key, and there are secrets.
    #[error(
        "the key {wanted} that seals the secrets of the credentials is missing: there is no {} and \
         FLOWNEXUS_SECRETS_KEY is not set; bring it back from the backup",
        file.display()
    )]
    Missing {
        /// The name of the key.
        wanted: String,
        /// Where it is looked for.
        file: PathBuf,
    },
    /// OpenSSL or the source of randomness failed.
    #[error("cannot seal: {0}")]
    Seal(String),
    /// A newer version sealed it.
    #[error("the secret of credential {0} was sealed by a newer flownexus")]
    Unknown(CredentialId),
    /// The environment variable is no key.
    #[error("FLOWNEXUS_SECRETS_KEY must be 64 hex digits")]
    Variable,
    /// It was sealed with another key.
    #[error(
        "the secrets of the credentials are sealed with the key {wanted}, which is missing; {from} \
         holds the key {found}"
    )]
    WrongKey {
        /// The name of the key that it was sealed with.
        wanted: String,
        /// The name of the key that is there.
        found: String,
        /// Where that one is from.
        from: String,
    },
}

impl Vault {
    /// The vault of a data folder: its key is that of [`SECRETS_KEY_VARIABLE`], or else that of
    /// [`SECRETS_KEY_FILE`], which is made when the first secret is sealed.
    ///
    /// # Errors
    /// When there is a key that cannot be used.
    pub fn open(data_dir: &Path) -> Result<Self, VaultError> {
        let variable = match std::env::var(SECRETS_KEY_VARIABLE) {
            Ok(text) => Some(Zeroizing::new(text)),
            Err(std::env::VarError::NotPresent) => None,
            Err(std::env::VarError::NotUnicode(_)) => return Err(VaultError::Variable),
        };
        Self::with(data_dir, variable.as_ref().map(|text| text.as_str()))
    }

    /// The same with the value of the variable as an argument.
    ///
    /// # Errors
    /// When there is a key that cannot be used.
    pub fn with(data_dir: &Path, variable: Option<&str>) -> Result<Self, VaultError> {
        let place = Place {
            file: data_dir.join(SECRETS_KEY_FILE),
            key: OnceLock::new(),
        };
        if let Some(text) = variable {
            let mut bytes = Zeroizing::new([0; KEY_BYTES]);
            hex::decode_to_slice(text.trim(), bytes.as_mut()).map_err(|_| VaultError::Variable)?;
            _ = place
                .key
                .set(Key::new(bytes, SECRETS_KEY_VARIABLE.to_owned()));
        } else {
            place.known()?;
        }
        Ok(Self {
            place: Arc::new(place),
        })
    }

    /// Seals a secret for one row and identity. Without a key one is made: whoever calls has made
    /// sure that the secrets that exist can be opened.
    ///
    /// # Errors
    /// When the key cannot be made or used.
    pub fn seal(
        &self,
        row: CredentialId,
        identity: &str,
        secret: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        let key = match self.place.known()? {
            Some(key) => key,
            None => self.place.make()?,
        };
        let sealed = key
            .sealer()
            .seal(&bound_to(row, identity), secret)
            .map_err(VaultError::Seal)?;
        let mut blob = vec![VERSION];
        blob.extend_from_slice(&key.name.0);
        blob.extend_from_slice(&sealed);
        Ok(blob)
    }

    /// A key for another purpose (HKDF, RFC 5869), the same as long as the key of the vault is; one is made as by
    /// [`Vault::seal`].
    ///
    /// # Errors
    /// When the key cannot be made or used.
    pub fn derive<const N: usize>(&self, purpose: &str) -> Result<Zeroizing<[u8; N]>, VaultError> {
        let key = match self.place.known()? {
            Some(key) => key,
            None => self.place.make()?,
        };
        let mut derived = Zeroizing::new([0; N]);
        let expand = |into: &mut [u8]| -> Result<(), openssl::error::ErrorStack> {
            let mut hkdf = PkeyCtx::new_id(Id::HKDF)?;
            hkdf.derive_init()?;
            hkdf.set_hkdf_md(Md::sha256())?;
            hkdf.set_hkdf_key(key.bytes.as_ref())?;
            hkdf.set_hkdf_salt(b"flownexus")?;
            hkdf.add_hkdf_info(purpose.as_bytes())?;
            hkdf.derive(Some(into)).map(drop)
        };
        expand(derived.as_mut_slice()).map_err(|error| VaultError::Seal(error.to_string()))?;
        Ok(derived)
    }

    /// Opens what was sealed for this row and identity.
    ///
    /// # Errors
    /// Says which key is missing, or that the secret was changed.
    pub fn unseal(
        &self,
        row: CredentialId,
        identity: &str,
        blob: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let sealed = Sealed::read(row, blob)?;
        let Some(key) = self.place.known()? else {
            return Err(VaultError::Missing {
                wanted: sealed.key.to_string(),
                file: self.place.file.clone(),
            });
        };
        if sealed.key != key.name {
            return Err(VaultError::WrongKey {
                wanted: sealed.key.to_string(),
                found: key.name.to_string(),
                from: key.from.clone(),
            });
        }
        key.sealer()
            .open(&bound_to(row, identity), sealed.secret)
            .ok_or(VaultError::Damaged(row))
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").finish_non_exhaustive()
    }
}

impl std::fmt::Display for KeyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Key {
    fn new(bytes: Zeroizing<[u8; KEY_BYTES]>, from: String) -> Self {
        let hash = Sha256::new()
            .chain_update(b"flownexus key name")
            .chain_update(bytes.as_ref())
            .finalize();
        let mut name = [0; NAME_BYTES];
        for (to, from) in name.iter_mut().zip(hash.iter()) {
            *to = *from;
        }
        Self {
            bytes,
            name: KeyName(name),
            from,
        }
    }
}

impl Key {
    fn sealer(&self) -> Sealer {
        Sealer::new(self.bytes.clone())
    }
}

impl Place {
    /// The key, when there is one; another process may have made the file meanwhile.
    fn known(&self) -> Result<Option<&Key>, VaultError> {
        if let Some(key) = self.key.get() {
            return Ok(Some(key));
        }
        let mut file = match File::open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.wrong(format!("cannot be read: {error}"))),
        };
        let metadata = file
            .metadata()
            .map_err(|error| self.wrong(format!("cannot be read: {error}")))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(self.wrong(format!(
                "can be read by others (mode {mode:o}); make it 600, or make a new key if somebody may \
                 have read it"
            )));
        }
        if metadata.len() != KEY_BYTES as u64 {
            return Err(self.wrong(format!(
                "holds {} bytes and not {KEY_BYTES}",
                metadata.len()
            )));
        }
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        file.read_exact(bytes.as_mut())
            .map_err(|error| self.wrong(format!("cannot be read: {error}")))?;
        let key = Key::new(bytes, self.file.display().to_string());
        Ok(Some(self.key.get_or_init(|| key)))
    }

    /// Makes the key file, whole or not at all; when another process was faster its key counts.
    fn make(&self) -> Result<&Key, VaultError> {
        let cannot = |error: io::Error| self.wrong(format!("cannot be made: {error}"));
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(bytes.as_mut()).map_err(|error| cannot(io::Error::other(error)))?;
        let mut suffix = [0; 8];
        getrandom::fill(&mut suffix).map_err(|error| cannot(io::Error::other(error)))?;
        let draft = self
            .file
            .with_extension(format!("key.{}", hex::encode(suffix)));
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| {
                file.write_all(bytes.as_ref())?;
                file.sync_all()
            })
            // Unlike a rename this does not take the place of a file.
            .and_then(|()| match fs::hard_link(&draft, &self.file) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                Ok(()) | Err(_) => Ok(()),
            })
            .and_then(|()| match self.file.parent() {
                Some(folder) => File::open(folder)?.sync_all(),
                None => Ok(()),
            });
        _ = fs::remove_file(&draft);
        made.map_err(cannot)?;
        self.known()?
            .ok_or_else(|| self.wrong("vanished right after it was made".to_owned()))
    }

    fn wrong(&self, why: String) -> VaultError {
        VaultError::File {
            file: self.file.clone(),
            why,
        }
    }
}

/// The parts of a sealed secret.
struct Sealed<'b> {
    key: KeyName,
    /// As a [`Sealer`] made it.
    secret: &'b [u8],
}

impl<'b> Sealed<'b> {
    fn read(row: CredentialId, blob: &'b [u8]) -> Result<Self, VaultError> {
        let damaged = || VaultError::Damaged(row);
        let (version, rest) = blob.split_first().ok_or_else(damaged)?;
        if *version != VERSION {
            return Err(VaultError::Unknown(row));
        }
        let (key, secret) = rest.split_first_chunk().ok_or_else(damaged)?;
        Ok(Self {
            key: KeyName(*key),
            secret,
        })
    }
}

/// What is authenticated with a secret: the row has a fixed length, so nothing else reads the same.
fn bound_to(row: CredentialId, identity: &str) -> Vec<u8> {
    let mut bytes = b"flownexus credential".to_vec();
    bytes.push(VERSION);
    bytes.extend_from_slice(&row.0.to_be_bytes());
    bytes.extend_from_slice(identity.as_bytes());
    bytes
}

const VERSION: u8 = 1;
const NAME_BYTES: usize = 4;

#[cfg(test)]
#[path = "vault_tests.rs"]
mod tests;
