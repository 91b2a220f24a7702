//! The server's own certificates: found in a folder, made when they are missing, checked against
//! each other, renewed before they end.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use openssl::pkey::{Id, PKey, Private};
use openssl::stack::Stack;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509Ref, X509StoreContext};
use sha2::Digest as _;

use super::CertificateError;
use super::alt_name::AltName;
use super::authority::{Authority, BACKDATED, Lifetime, Subject, new_key};
use super::files::{self, CA_CERTIFICATE, CA_KEY, Folder, SERVER_CERTIFICATE, SERVER_KEY};
use super::making::{chain_pem, pem};
use super::reading::{alt_names, begins, ends, forget_errors};
use crate::domain::Timestamp;

/// What the server proves itself with, and what it checks devices by.
#[derive(Clone)]
pub struct ServerCertificates {
    /// The CAs whose signature on a device's certificate counts; at least one.
    pub ca: Vec<X509>,
    /// The server's certificate, then those between it and the CA, to be sent in this order.
    pub chain: Vec<X509>,
    /// The key of the first certificate of `chain`.
    pub key: PKey<Private>,
    /// Of the files, to notice changes.
    pub(super) hash: [u8; 32],
}

impl std::fmt::Debug for ServerCertificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerCertificates")
            .field("ca", &self.ca)
            .field("chain", &self.chain)
            .finish_non_exhaustive()
    }
}

impl ServerCertificates {
    /// Reads `ca.crt`, `server.crt` and `server.key` of a folder. When none of them is there they
    /// are made, and `ca.key` with them: for this machine (`localhost`, its loopback addresses, its
    /// host name) and `hosts`.
    ///
    /// # Errors
    /// When a file is missing beside the others, cannot be read, holds something else, or does not
    /// belong to the others.
    pub fn load_or_make(
        folder: &Path,
        hosts: &[AltName],
        now: Timestamp,
    ) -> Result<Self, CertificateError> {
        let files = Files::of(folder);
        if !files.ca.exists() {
            files.make_ca(now)?;
        }
        if !files.certificate.exists() {
            files.make_server(hosts, now)?;
        }
        let certificates = Self::load(folder)?;
        match certificates.with_hosts(folder, hosts, now)? {
            Some(again) => Ok(again),
            None => Ok(certificates),
        }
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// See [`ServerCertificates::load_or_make`].
    pub fn load(folder: &Path) -> Result<Self, CertificateError> {
        let files = Files::of(folder);
        let [ca, chain] = [files::read(&files.ca)?, files::read(&files.certificate)?];
        let key = zeroize::Zeroizing::new(files::read(&files.key)?);
        let certificates = Self {
            hash: hash(&[&ca, &chain, &key]),
            ca: files::certificates_of(&ca, &files.ca)?,
            chain: files::certificates_of(&chain, &files.certificate)?,
            key: files::private_key_of(&key, &files.key)?,
        };
        if certificates.key.id() != Id::EC {
            return Err(CertificateError::KeyKind(files.key));
        }
        let is_pair = certificates
            .leaf()
            .and_then(|leaf| leaf.public_key().ok())
            .is_some_and(|public| public.public_eq(&certificates.key));
        forget_errors();
        if !is_pair {
            return Err(CertificateError::KeyMismatch {
                key: files.key,
                certificate: files.certificate,
            });
        }
        signed_by(&certificates.ca, &certificates.chain)?.map_err(|reason| {
            CertificateError::NotSigned {
                certificate: files.certificate,
                ca: files.ca,
                reason,
            }
        })?;
        Ok(certificates)
    }

    /// True when the files say something else than when they were read. Files that cannot be read
    /// have changed, too.
    pub fn changed(&self, folder: &Path) -> bool {
        let files = Files::of(folder);
        let read = [&files.ca, &files.certificate, &files.key].map(|path| files::read(path));
        match read {
            [Ok(ca), Ok(chain), Ok(key)] => {
                let key = zeroize::Zeroizing::new(key);
                hash(&[&ca, &chain, &key]) != self.hash
            }
            _ => true,
        }
    }

    /// The CAs as what a verification trusts. Each of them is an end of a chain, self-signed or not.
    ///
    /// # Errors
    /// When OpenSSL has no memory.
    pub fn trust(&self) -> Result<X509Store, openssl::error::ErrorStack> {
        trust(&self.ca, X509VerifyFlags::empty(), None)
    }

    /// When the server's certificate ends, and the first of the CAs.
    ///
    /// # Errors
    /// When a date is none.
    pub fn ends(&self) -> Result<(Timestamp, Timestamp), CertificateError> {
        let server = self.leaf().map_or(Ok(Timestamp::MAX), ends)?;
        let mut ca = Timestamp::MAX;
        for certificate in &self.ca {
            ca = ca.min(ends(certificate)?);
        }
        Ok((server, ca))
    }

    /// Whether whoever connects to this host, a DNS name or an IP address, finds it in the server's certificate, also
    /// by a name with `*`.
    ///
    /// # Errors
    /// When OpenSSL has no memory, or the host cannot be one.
    pub fn is_for(&self, host: &str) -> Result<bool, openssl::error::ErrorStack> {
        let mut wanted = X509VerifyParam::new()?;
        match host.parse::<IpAddr>() {
            Ok(address) => wanted.set_ip(address)?,
            Err(_) => wanted.set_host(host)?,
        }
        // That it is signed by the CA is known since it was read: only the host can be wrong.
        verified(&self.ca, &self.chain, Some(&wanted)).map(|verified| verified.is_ok())
    }

    /// Signs the server's certificate again when it ends within `ahead`, and a third of its life
    /// has passed at least: same key and names, new dates. Needs `ca.key`; the file is replaced.
    ///
    /// # Errors
    /// When the CA has ended or the file cannot be written.
    pub fn renew(
        &self,
        folder: &Path,
        ahead: std::time::Duration,
        now: Timestamp,
    ) -> Result<Option<Self>, CertificateError> {
        let Some(leaf) = self.leaf() else {
            return Ok(None);
        };
        let end = ends(leaf)?;
        let life = end.since(begins(leaf)?).saturating_sub(BACKDATED);
        if end.since(now) > ahead.min(life * 2 / 3) {
            return Ok(None);
        }
        let Some(authority) = self.authority(folder)? else {
            return Ok(None);
        };
        // A certificate that ends with its CA would be signed again and again without lasting longer.
        if ends(authority.certificate())? <= end {
            return Ok(None);
        }
        self.sign_again(folder, &authority, &[], now).map(Some)
    }

    /// Hosts that were added to the settings are added to a certificate of our own.
    fn with_hosts(
        &self,
        folder: &Path,
        hosts: &[AltName],
        now: Timestamp,
    ) -> Result<Option<Self>, CertificateError> {
        let known = self.leaf().map(alt_names).unwrap_or_default();
        let missing: Vec<AltName> = hosts
            .iter()
            .filter(|host| !known.contains(host))
            .cloned()
            .collect();
        if missing.is_empty() {
            return Ok(None);
        }
        let named: Vec<String> = missing.iter().map(AltName::to_string).collect();
        let named = named.join(", ");
        let Some(authority) = self.authority(folder)? else {
            tracing::warn!(
                "{SERVER_CERTIFICATE} does not name {named}, and without {CA_KEY} it cannot be \
                 signed again"
            );
            return Ok(None);
        };
        tracing::info!("Signing {SERVER_CERTIFICATE} again: {named} is new in certificates.hosts");
        self.sign_again(folder, &authority, &missing, now).map(Some)
    }

    fn sign_again(
        &self,
        folder: &Path,
        authority: &Authority,
        besides: &[AltName],
        now: Timestamp,
    ) -> Result<Self, CertificateError> {
        authority.check_not_ended(now)?;
        let mut chain = self.chain.clone();
        if let Some(leaf) = chain.first_mut() {
            let again = authority.renew(leaf, besides, Lifetime::of(leaf)?, now)?;
            *leaf = again;
        }
        Folder::new(folder, true).write_public(SERVER_CERTIFICATE, &chain_pem(&chain)?)?;
        Self::load(folder)
    }

    /// The CA that has signed the server's certificate, when its key is here.
    fn authority(&self, folder: &Path) -> Result<Option<Authority>, CertificateError> {
        if !folder.join(CA_KEY).exists() {
            return Ok(None);
        }
        let authority = Authority::among(&self.ca, folder)?;
        Ok(authority.filter(|ca| self.leaf().is_some_and(|leaf| ca.has_signed(leaf))))
    }

    fn leaf(&self) -> Option<&X509Ref> {
        self.chain.first().map(AsRef::as_ref)
    }
}

/// Whether one of the CAs has signed the first certificate, over the others: the inner result says
/// why not. Dates do not count here: what has ended is still a pair, and the watch over the ends
/// tells.
pub(super) fn signed_by(
    ca: &[X509],
    chain: &[X509],
) -> Result<Result<(), String>, openssl::error::ErrorStack> {
    verified(ca, chain, None)
}

fn verified(
    ca: &[X509],
    chain: &[X509],
    wanted: Option<&X509VerifyParam>,
) -> Result<Result<(), String>, openssl::error::ErrorStack> {
    let Some((leaf, between)) = chain.split_first() else {
        return Ok(Err("there is no certificate".to_owned()));
    };
    let store = trust(ca, X509VerifyFlags::NO_CHECK_TIME, wanted)?;
    let mut others = Stack::new()?;
    for certificate in between {
        others.push(certificate.clone())?;
    }
    let verified = X509StoreContext::new()?.init(&store, leaf, &others, |context| {
        Ok(if context.verify_cert()? {
            Ok(())
        } else {
            Err(context.error().error_string().to_owned())
        })
    });
    forget_errors();
    verified
}

fn trust(
    ca: &[X509],
    flags: X509VerifyFlags,
    wanted: Option<&X509VerifyParam>,
) -> Result<X509Store, openssl::error::ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    for certificate in ca {
        store.add_cert(certificate.clone())?;
    }
    // A CA that another one has signed is trusted by itself.
    store.set_flags(flags | X509VerifyFlags::PARTIAL_CHAIN)?;
    if let Some(wanted) = wanted {
        store.set_param(wanted)?;
    }
    Ok(store.build())
}

/// Where the files are.
struct Files {
    folder: PathBuf,
    ca: PathBuf,
    ca_key: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            ca: folder.join(CA_CERTIFICATE),
            ca_key: folder.join(CA_KEY),
            certificate: folder.join(SERVER_CERTIFICATE),
            key: folder.join(SERVER_KEY),
        }
    }

    /// Writes the key first, so that a first start that was interrupted is gone on with: a key
    /// without a certificate has signed nothing yet.
    fn make_ca(&self, now: Timestamp) -> Result<(), CertificateError> {
        for present in [&self.certificate, &self.key] {
            if present.exists() {
                return Err(CertificateError::Missing {
                    missing: self.ca.clone(),
                    present: present.clone(),
                    advice: "put the certificate there of the CA that has signed it",
                });
            }
        }
        let folder = Folder::new(&self.folder, false);
        let key = if self.ca_key.exists() {
            files::private_key(&self.ca_key)?
        } else {
            let key = new_key()?;
            folder.write_secret(CA_KEY, &pem(&key)?)?;
            key
        };
        let authority = Authority::make(None, key, Lifetime::CA, now)?;
        folder.write_public(CA_CERTIFICATE, &authority.certificate().to_pem()?)?;
        tracing::info!("Made a CA: {}", self.ca.display());
        Ok(())
    }

    fn make_server(&self, hosts: &[AltName], now: Timestamp) -> Result<(), CertificateError> {
        if !self.ca_key.exists() {
            return Err(CertificateError::Missing {
                missing: self.certificate.clone(),
                present: self.ca.clone(),
                advice: "and without ca.key it cannot be made; put it there with server.key \
                         (`flownexus cert server`)",
            });
        }
        let authority = Authority::load(&self.folder)?;
        let folder = Folder::new(&self.folder, false);
        let key = if self.key.exists() {
            files::private_key(&self.key)?
        } else {
            let key = new_key()?;
            folder.write_secret(SERVER_KEY, &pem(&key)?)?;
            key
        };
        let mut names = this_machine();
        for host in hosts {
            if !names.contains(host) {
                names.push(host.clone());
            }
        }
        let subject = Subject::server(&names);
        let certificate = authority.sign_checked(&subject, &key, Lifetime::SERVER, now)?;
        folder.write_public(SERVER_CERTIFICATE, &certificate.to_pem()?)?;
        let names: Vec<String> = names.iter().map(AltName::to_string).collect();
        tracing::info!(
            "Made a certificate for {}: {}",
            names.join(", "),
            self.certificate.display()
        );
        Ok(())
    }
}

/// Under which names a machine reaches itself.
fn this_machine() -> Vec<AltName> {
    let mut names = vec![
        AltName::Dns("localhost".to_owned()),
        AltName::Ip(std::net::Ipv4Addr::LOCALHOST.into()),
        AltName::Ip(std::net::Ipv6Addr::LOCALHOST.into()),
    ];
    let host = ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
        .and_then(|text| AltName::host(text.trim()).ok());
    names.extend(host.filter(|host| *host != AltName::Dns("localhost".to_owned())));
    names
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = sha2::Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
