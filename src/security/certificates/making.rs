//! What the command line does: makes certificates with their keys and writes the files.

use std::path::{Path, PathBuf};

use openssl::nid::Nid;
use openssl::pkey::{HasPublic, PKey, PKeyRef, Private, Public};
use openssl::x509::{X509, X509Ref};
use zeroize::Zeroizing;

use super::CertificateError;
use super::alt_name::AltName;
use super::authority::{Authority, Lifetime, Subject, new_key};
use super::files::{
    self, CA_CERTIFICATE, CA_KEY, Folder, SERVER_CERTIFICATE, SERVER_KEY, file_stem,
};
use super::reading::{Description, common_name, describe, ends, names_of};
use super::server::signed_by;
use crate::domain::{EndpointName, Timestamp};

/// A certificate that was made.
#[derive(Clone, Debug)]
pub struct Issued {
    /// What it says.
    pub description: Description,
    /// What was written.
    pub files: Vec<PathBuf>,
    /// It ends with its CA, before the days that were asked for.
    pub ends_with_ca: bool,
    /// The name is too long for a common name and stands in `subjectAltName` only.
    pub without_common_name: bool,
}

/// Whose key a device's certificate is for.
#[derive(Clone, Debug)]
pub enum DeviceKey {
    /// A new one.
    New,
    /// That of a request (PKCS #10), which the device has made and keeps.
    Request(PathBuf),
}

impl Authority {
    /// Makes a CA and writes `ca.crt` and `ca.key`.
    ///
    /// # Errors
    /// When a file is there already or cannot be written, or the name is too long.
    pub fn create(
        folder: &Folder,
        name: Option<&str>,
        lifetime: Lifetime,
        now: Timestamp,
    ) -> Result<Issued, CertificateError> {
        folder.check_free(&[CA_CERTIFICATE, CA_KEY])?;
        let authority = Self::make(name, new_key()?, lifetime, now)?;
        let mut issued = issued(authority.certificate())?;
        issued.files = vec![
            folder.write_secret(CA_KEY, &pem(authority.key())?)?,
            folder.write_public(CA_CERTIFICATE, &authority.certificate().to_pem()?)?,
        ];
        Ok(issued)
    }

    /// Reads `ca.crt` and `ca.key` of a folder. Of several certificates in `ca.crt`, the newest of
    /// this key signs.
    ///
    /// # Errors
    /// When a file is missing or damaged, they are no pair, or the certificate is none of a CA.
    pub fn load(folder: &Path) -> Result<Self, CertificateError> {
        let (certificate, key) = (folder.join(CA_CERTIFICATE), folder.join(CA_KEY));
        Self::among(&files::certificates(&certificate)?, folder)?
            .ok_or(CertificateError::KeyMismatch { key, certificate })
    }

    /// Signs a new certificate of a server for a new key, and writes `server.crt` and `server.key`.
    ///
    /// # Errors
    /// When a file is there already or cannot be written, or the CA has ended.
    pub fn server(
        &self,
        folder: &Folder,
        hosts: &[AltName],
        lifetime: Lifetime,
        now: Timestamp,
    ) -> Result<Issued, CertificateError> {
        folder.check_free(&[SERVER_CERTIFICATE, SERVER_KEY])?;
        let (key, subject) = (new_key()?, Subject::server(hosts));
        let certificate = self.sign_checked(&subject, &key, lifetime, now)?;
        let mut issued = self.issued(&certificate, lifetime, now)?;
        issued.without_common_name = !subject.has_common_name();
        issued.files = vec![
            folder.write_secret(SERVER_KEY, &pem(&key)?)?,
            folder.write_public(SERVER_CERTIFICATE, &certificate.to_pem()?)?,
        ];
        Ok(issued)
    }

    /// Signs a certificate of a device, and writes it with its key when that is a new one; with
    /// `der` in this form too, and the CA's certificate with it.
    ///
    /// # Errors
    /// When a file is there already or cannot be written, the name fits no certificate, the request
    /// is not the device's, or the CA has ended.
    pub fn device(
        &self,
        folder: &Folder,
        endpoint: &EndpointName,
        key: &DeviceKey,
        der: bool,
        lifetime: Lifetime,
        now: Timestamp,
    ) -> Result<Issued, CertificateError> {
        let stem = file_stem(endpoint);
        let [crt, key_file] = [format!("{stem}.crt"), format!("{stem}.key")];
        let [crt_der, key_der] = [format!("{crt}.der"), format!("{key_file}.der")];
        let is_new = matches!(key, DeviceKey::New);
        let names = [
            (crt.as_str(), true),
            (key_file.as_str(), is_new),
            (crt_der.as_str(), der),
            (key_der.as_str(), der && is_new),
        ];
        let mut names: Vec<&str> = names
            .iter()
            .filter_map(|(name, wanted)| wanted.then_some(*name))
            .collect();
        // The same for all devices of a folder.
        let ca_der = self.certificate().to_der()?;
        let has_ca = files::read(&folder.file(CA_DER)).is_ok_and(|there| there == ca_der);
        if der && !has_ca {
            names.push(CA_DER);
        }
        folder.check_free(&names)?;

        let subject = Subject::device(endpoint)?;
        let (certificate, secret) = match key {
            DeviceKey::New => {
                let key = new_key()?;
                (self.sign_checked(&subject, &key, lifetime, now)?, Some(key))
            }
            DeviceKey::Request(path) => {
                let public = key_of_request(path, endpoint)?;
                (self.sign_checked(&subject, &public, lifetime, now)?, None)
            }
        };
        let mut issued = self.issued(&certificate, lifetime, now)?;
        issued.without_common_name = !subject.has_common_name();
        if let Some(key) = &secret {
            issued
                .files
                .push(folder.write_secret(&key_file, &pem(key)?)?);
        }
        issued
            .files
            .push(folder.write_public(&crt, &certificate.to_pem()?)?);
        if der {
            if let Some(key) = &secret {
                let bytes = Zeroizing::new(key.private_key_to_pkcs8()?);
                issued.files.push(folder.write_secret(&key_der, &bytes)?);
            }
            issued
                .files
                .push(folder.write_public(&crt_der, &certificate.to_der()?)?);
            if !has_ca {
                issued.files.push(folder.write_public(CA_DER, &ca_der)?);
            }
        }
        Ok(issued)
    }

    /// Signs a certificate of a server or of a device again, or the CA's own: same key, same names,
    /// new dates, new serial number. The file is replaced.
    ///
    /// # Errors
    /// When the file cannot be read or written, this CA did not sign it, or has ended.
    pub fn renew_file(
        &self,
        path: &Path,
        lifetime: Option<Lifetime>,
        now: Timestamp,
    ) -> Result<Issued, CertificateError> {
        let bytes = files::read(path)?;
        let mut all = files::certificates_of(&bytes, path)?;
        let Some(old) = all.first().cloned() else {
            return Err(CertificateError::Damaged {
                path: path.to_owned(),
                reason: "no certificate",
            });
        };
        let lifetime = lifetime.map_or_else(|| Lifetime::of(&old), Ok)?;
        // A chain may end with the CA, and `ca.crt` may begin with another one.
        let is_ca = old.public_key().is_ok_and(|key| key.public_eq(self.key()));
        let own = if is_ca || !self.has_signed(&old) {
            all.iter().position(|one| *one == *self.certificate())
        } else {
            None
        };
        let mut issued = if let Some(place) = own {
            let new = self.renewed(lifetime, now)?;
            let issued = issued(&new)?;
            replace(&mut all, place, new);
            issued
        } else {
            if !self.has_signed(&old) {
                return Err(CertificateError::NotSigned {
                    certificate: path.to_owned(),
                    ca: PathBuf::from(CA_CERTIFICATE),
                    reason: "its signature is of another key".to_owned(),
                });
            }
            self.check_not_ended(now)?;
            let new = self.renew(&old, &[], lifetime, now)?;
            let issued = self.issued(&new, lifetime, now)?;
            replace(&mut all, 0, new);
            issued
        };
        let is_pem = bytes.windows(5).any(|five| five == b"-----");
        let written = match all.first() {
            Some(only) if !is_pem => only.to_der()?,
            _ => chain_pem(&all)?,
        };
        // A name alone has an empty parent, which is no folder.
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        let folder = Folder::new(
            parent.map_or_else(|| PathBuf::from("."), Path::to_owned),
            true,
        );
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        folder.write_public(&name, &written)?;
        issued.files = vec![path.to_owned()];
        Ok(issued)
    }

    /// The CA of the folder's key among these certificates; nothing when there is none.
    pub(super) fn among(
        certificates: &[X509],
        folder: &Path,
    ) -> Result<Option<Self>, CertificateError> {
        let key = files::private_key(&folder.join(CA_KEY))?;
        let mut newest: Option<(Timestamp, &X509)> = None;
        for certificate in certificates {
            if !certificate
                .public_key()
                .is_ok_and(|public| public.public_eq(&key))
            {
                continue;
            }
            let end = ends(certificate)?;
            if newest.is_none_or(|(other, _)| other < end) {
                newest = Some((end, certificate));
            }
        }
        Ok(newest.map(|(_, certificate)| Self::new(certificate.clone(), key)))
    }

    /// Fails once the CA has ended.
    pub(super) fn check_not_ended(&self, now: Timestamp) -> Result<(), CertificateError> {
        if ends(self.certificate())? <= now {
            return Err(CertificateError::CaEnded(PathBuf::from(CA_CERTIFICATE)));
        }
        Ok(())
    }

    /// Signs, and looks whether others will believe it: somebody else's `ca.crt` may be none of a CA.
    pub(super) fn sign_checked(
        &self,
        subject: &Subject,
        key: &PKeyRef<impl HasPublic>,
        lifetime: Lifetime,
        now: Timestamp,
    ) -> Result<X509, CertificateError> {
        self.check_not_ended(now)?;
        let certificate = self.sign(subject, key, lifetime, now)?;
        let ca = std::slice::from_ref(self.certificate());
        signed_by(ca, std::slice::from_ref(&certificate))?.map_err(|reason| {
            CertificateError::NotSigned {
                certificate: PathBuf::from("the new certificate"),
                ca: PathBuf::from(CA_CERTIFICATE),
                reason,
            }
        })?;
        Ok(certificate)
    }

    fn issued(
        &self,
        certificate: &X509Ref,
        lifetime: Lifetime,
        now: Timestamp,
    ) -> Result<Issued, CertificateError> {
        let mut issued = issued(certificate)?;
        issued.ends_with_ca = lifetime.end(now) > ends(self.certificate())?;
        Ok(issued)
    }
}

/// Makes the key of a device that shows its raw public key (RFC 7250) instead of a certificate, and writes
/// `NAME.key` for the device and `NAME.pub` for the server; returns both files.
///
/// # Errors
/// When a file is there already or cannot be written.
pub fn key_pair(
    folder: &Folder,
    endpoint: &EndpointName,
) -> Result<Vec<PathBuf>, CertificateError> {
    let stem = file_stem(endpoint);
    let [secret, public] = [format!("{stem}.key"), format!("{stem}.pub")];
    folder.check_free(&[&secret, &public])?;
    let key = new_key()?;
    Ok(vec![
        folder.write_secret(&secret, &pem(&key)?)?,
        folder.write_public(&public, &key.public_key_to_pem()?)?,
    ])
}

/// Fails when the certificate of the server beside the CA bears this name. Many devices look only at
/// the signature and the name of the server that they talk to.
///
/// # Errors
/// Names the certificate.
pub fn check_no_server(folder: &Path, endpoint: &EndpointName) -> Result<(), CertificateError> {
    let certificate = folder.join(SERVER_CERTIFICATE);
    if !certificate.exists() {
        return Ok(());
    }
    let is_server = files::certificates(&certificate)?
        .first()
        .is_some_and(|server| {
            names_of(server)
                .iter()
                .any(|name| name.as_str().eq_ignore_ascii_case(endpoint.as_str()))
        });
    if is_server {
        return Err(CertificateError::NameOfServer {
            name: endpoint.clone(),
            certificate,
        });
    }
    Ok(())
}

/// Several certificates, one after the other.
pub(super) fn chain_pem(certificates: &[X509]) -> Result<Vec<u8>, CertificateError> {
    let mut bytes = Vec::new();
    for certificate in certificates {
        bytes.extend(certificate.to_pem()?);
    }
    Ok(bytes)
}

/// A private key as PKCS #8 (RFC 5958).
pub(super) fn pem(key: &PKey<Private>) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    Ok(Zeroizing::new(key.private_key_to_pem_pkcs8()?))
}

fn issued(certificate: &X509Ref) -> Result<Issued, CertificateError> {
    Ok(Issued {
        description: describe(certificate)?,
        files: Vec::new(),
        ends_with_ca: false,
        without_common_name: false,
    })
}

fn replace(all: &mut [X509], place: usize, new: X509) {
    if let Some(old) = all.get_mut(place) {
        *old = new;
    }
}

/// The public key of a request, once that is what it should be. Names and extensions that it asks
/// for are not taken over: what the certificate says is for the CA to decide.
fn key_of_request(path: &Path, endpoint: &EndpointName) -> Result<PKey<Public>, CertificateError> {
    let request = files::request(path)?;
    let refused = |why: String| {
        Err(CertificateError::Request(format!(
            "{} {why}",
            path.display()
        )))
    };
    let key = request.public_key()?;
    let is_p256 = key
        .ec_key()
        .is_ok_and(|ec| ec.group().curve_name() == Some(Nid::X9_62_PRIME256V1));
    super::reading::forget_errors();
    if !is_p256 {
        return refused("has no P-256 key".to_owned());
    }
    let proves_key = request.verify(&key).unwrap_or(false);
    super::reading::forget_errors();
    if !proves_key {
        return refused("is not signed by its own key".to_owned());
    }
    let name = request.subject_name();
    if name.entries_by_nid(Nid::COMMONNAME).next().is_some() {
        let asked = common_name(name);
        if asked.as_deref() != Some(endpoint.as_str()) {
            let asked = asked.unwrap_or_else(|| "another name".to_owned());
            return refused(format!(
                "is for `{}`, not for `{endpoint}`",
                asked.escape_debug()
            ));
        }
    }
    Ok(key)
}

/// The CA's certificate for devices that read no PEM.
const CA_DER: &str = "ca.crt.der";
