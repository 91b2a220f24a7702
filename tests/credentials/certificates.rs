//! Keys and certificates for these tests, and the service that they are given to.

use std::path::Path;
use std::sync::Arc;

use flownexus::config::Settings;
use flownexus::domain::{EndpointName, Timestamp};
use flownexus::security::certificates::DeviceEnds;
use flownexus::security::{CheckedProof, Keyring, Vault, credential_input};
use flownexus::store::Store;
use flownexus::web::credentials::{Credentials, NewCredential};
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::{X509, X509Builder, X509Name};

use crate::support::database::TestDatabase;
use crate::support::shared::by;

/// Somebody with a key and a certificate.
pub(crate) struct Holder {
    pub(crate) key: PKey<Private>,
    pub(crate) certificate: X509,
}

impl Holder {
    /// Made out to this name, and signed by this one or by nobody else.
    pub(crate) fn new(name: &str, issuer: Option<&Self>) -> Self {
        let mut serial = BigNum::new().expect("a number");
        serial
            .rand(120, MsbOption::ONE, false)
            .expect("a random number");
        Self::with_serial(name, issuer, &serial.to_vec())
    }

    pub(crate) fn with_serial(name: &str, issuer: Option<&Self>, serial: &[u8]) -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve");
        let key = EcKey::generate(&group).and_then(PKey::from_ec_key);
        let key = key.expect("a key");
        let mut subject = X509Name::builder().expect("a name");
        subject
            .append_entry_by_nid(Nid::COMMONNAME, name)
            .expect("an entry");
        let subject = subject.build();
        let mut builder = X509Builder::new().expect("a builder");
        builder.set_version(2).expect("a version");
        let serial = BigNum::from_slice(serial).and_then(|number| number.to_asn1_integer());
        builder
            .set_serial_number(&serial.expect("a number"))
            .expect("a number");
        builder.set_subject_name(&subject).expect("a name");
        let issuer_name = issuer.map_or(&*subject, |issuer| issuer.certificate.subject_name());
        builder.set_issuer_name(issuer_name).expect("a name");
        builder.set_pubkey(&key).expect("a key");
        let from = Asn1Time::days_from_now(0).expect("a time");
        let to = Asn1Time::days_from_now(365).expect("a time");
        builder.set_not_before(&from).expect("a time");
        builder.set_not_after(&to).expect("a time");
        let signer = issuer.map_or(&key, |issuer| &issuer.key);
        builder
            .sign(signer, MessageDigest::sha256())
            .expect("a signature");
        Self {
            certificate: builder.build(),
            key,
        }
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().expect("PEM")
    }

    /// SHA-256 of the certificate.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let digest = self.certificate.digest(MessageDigest::sha256());
        (*digest.expect("a digest")).try_into().expect("32 bytes")
    }
}

pub(crate) fn name(text: &str) -> EndpointName {
    EndpointName::new(text).expect("a name")
}

pub(crate) fn psk(pair: &str) -> CheckedProof {
    credential_input::psk_pair(pair).expect("a pair").proof
}

pub(crate) fn x509(endpoint: &str, pem: &[u8]) -> CheckedProof {
    let warn_ahead = Settings::defaults().certificates.warn_ahead();
    credential_input::x509(pem, &name(endpoint), Timestamp::system(), warn_ahead)
        .expect("a certificate")
        .proof
}

pub(crate) fn new(endpoint: &str, proof: CheckedProof) -> NewCredential {
    NewCredential {
        endpoint: name(endpoint),
        proof,
        note: String::new(),
        by: by(),
    }
}

/// The service on this store, with the key of this folder.
pub(crate) fn service(store: &Store, keyring: &Keyring, folder: &Path) -> Credentials {
    let vault = Vault::with(folder, None).expect("a vault");
    let (store, ends) = (Arc::new(store.clone()), DeviceEnds::default());
    Credentials::new(store, vault, keyring.clone(), ends, folder)
}

/// A server's store on this database, with its keyring and the service.
pub(crate) async fn server_on(database: &TestDatabase) -> (Store, Keyring, Credentials) {
    let (store, keyring) = (database.open().await, Keyring::default());
    let credentials = service(&store, &keyring, &database.settings.data_dir);
    (store, keyring, credentials)
}
