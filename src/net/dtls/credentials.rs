//! What a client proves itself with, and whom it trusts.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslRef,
    SslSessionCacheMode, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use zeroize::Zeroizing;

use crate::security::PskKey;

use super::cid;
use super::ffi::{self, CertificateType};

/// What a client proves itself with. Cheap to clone.
#[derive(Clone)]
pub struct ClientCredentials(Arc<Secret>);

enum Secret {
    Psk {
        identity: String,
        key: PskKey,
    },
    RawPublicKey {
        key: PKey<Private>,
        /// The `SubjectPublicKeyInfo` of the server, DER; none: any.
        server: Option<Vec<u8>>,
    },
    X509 {
        /// The client's own first, then those of whoever signed it.
        chain: Vec<X509>,
        key: PKey<Private>,
        /// Who signs servers; empty: any server is believed.
        authorities: Vec<X509>,
    },
}

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// RFC 4279 section 5.3 asks for more room than OpenSSL has.
    #[error("a PSK identity has 1 to {MAX_IDENTITY_BYTES} bytes and no zero byte")]
    Identity,
    /// Empty or too long.
    #[error("a pre-shared key has 1 to {MAX_KEY_BYTES} bytes")]
    Key,
    /// Not PEM of what was asked for.
    #[error("this is no {what} in PEM: {source}")]
    Pem {
        /// What was asked for.
        what: &'static str,
        /// What OpenSSL says.
        source: ErrorStack,
    },
    /// A file without any certificate.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// A raw public key of a kind that LwM2M does not know (Transport 5.2.8.2).
    #[error("the private key is not one on P-256")]
    NotOnP256,
    /// The certificate is of another key.
    #[error("the private key is not that of the certificate")]
    OtherKey,
}

impl ClientCredentials {
    /// A pre-shared key (RFC 4279).
    ///
    /// # Errors
    /// Identity or key is empty or too long.
    pub fn psk(identity: &str, key: Vec<u8>) -> Result<Self, CredentialError> {
        let key = Zeroizing::new(key);
        if identity.is_empty() || identity.len() > MAX_IDENTITY_BYTES || identity.contains('\0') {
            return Err(CredentialError::Identity);
        }
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(CredentialError::Key);
        }
        let identity = identity.to_owned();
        Ok(Self(Arc::new(Secret::Psk { identity, key })))
    }

    /// A certificate, which may be followed by those of whoever signed it, and its private key. The
    /// server must prove itself by a certificate of one of the authorities; without any every server
    /// is believed. All in PEM.
    ///
    /// # Errors
    /// Something is no PEM, or the key is of another certificate.
    pub fn x509(
        certificate: &[u8],
        key: &[u8],
        authorities: Option<&[u8]>,
    ) -> Result<Self, CredentialError> {
        let chain = certificates(certificate)?;
        let key = private_key(key)?;
        let own = chain.first().ok_or(CredentialError::NoCertificate)?;
        if !own.public_key().is_ok_and(|public| public.public_eq(&key)) {
            return Err(CredentialError::OtherKey);
        }
        let authorities = authorities.map(certificates).transpose()?;
        if authorities.as_ref().is_some_and(Vec::is_empty) {
            return Err(CredentialError::NoCertificate);
        }
        Ok(Self(Arc::new(Secret::X509 {
            chain,
            key,
            authorities: authorities.unwrap_or_default(),
        })))
    }

    /// A raw public key (RFC 7250), by its private key in PEM. The server must have this key, a
    /// `SubjectPublicKeyInfo` in DER; without one every server is believed.
    ///
    /// # Errors
    /// The key is no PEM, has a password, or is not on P-256.
    pub fn raw_public_key(key: &[u8], server: Option<Vec<u8>>) -> Result<Self, CredentialError> {
        let key = private_key(key)?;
        let curve = key.ec_key().ok().and_then(|key| key.group().curve_name());
        if curve != Some(Nid::X9_62_PRIME256V1) {
            return Err(CredentialError::NotOnP256);
        }
        Ok(Self(Arc::new(Secret::RawPublicKey { key, server })))
    }

    /// The context for connections with these.
    pub(super) fn context(&self) -> Result<SslContext, ErrorStack> {
        context(matches!(*self.0, Secret::RawPublicKey { .. }))
    }

    /// Gives a connection its suites and keys, and tells it whom to believe.
    pub(super) fn prepare(
        &self,
        ssl: &mut SslRef,
        server_name: Option<&str>,
        ciphers: Option<&str>,
    ) -> Result<(), ErrorStack> {
        let suites = match &*self.0 {
            Secret::Psk { .. } => PSK_SUITES,
            Secret::RawPublicKey { .. } | Secret::X509 { .. } => ECDSA_SUITES,
        };
        let suites = ciphers.unwrap_or(suites);
        // The strength of CCM_8 counts as 64 bits, which no higher level takes.
        ssl.set_cipher_list(&format!("{suites}:@SECLEVEL=0"))?;
        ssl.set_ex_data(secret_index()?, self.clone());
        match &*self.0 {
            Secret::Psk { .. } => Ok(()),
            Secret::RawPublicKey { key, server } => {
                ssl.set_private_key(key)?;
                let wanted = server.clone();
                ssl.set_verify_callback(SslVerifyMode::PEER, move |_, store| {
                    let shown = ffi::raw_public_key(store).ok().flatten();
                    shown.is_some() && (wanted.is_none() || shown == wanted)
                });
                Ok(())
            }
            Secret::X509 {
                chain,
                key,
                authorities,
            } => {
                if let Some((own, signers)) = chain.split_first() {
                    ssl.set_certificate(own)?;
                    for signer in signers {
                        ssl.add_chain_cert(signer.clone())?;
                    }
                }
                ssl.set_private_key(key)?;
                if authorities.is_empty() {
                    ssl.set_verify(SslVerifyMode::NONE);
                    return Ok(());
                }
                let mut store = X509StoreBuilder::new()?;
                for authority in authorities {
                    store.add_cert(authority.clone())?;
                }
                ssl.set_verify_cert_store(store.build())?;
                ssl.set_verify(SslVerifyMode::PEER);
                expect_server(ssl, server_name)
            }
        }
    }
}

impl std::fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &*self.0 {
            Secret::Psk { identity, .. } => write!(f, "Psk({identity})"),
            Secret::RawPublicKey { .. } => f.write_str("RawPublicKey"),
            Secret::X509 { .. } => f.write_str("X509"),
        }
    }
}

fn expect_server(ssl: &mut SslRef, name: Option<&str>) -> Result<(), ErrorStack> {
    let Some(name) = name else { return Ok(()) };
    match name.parse::<IpAddr>() {
        Ok(address) => ssl.param_mut().set_ip(address),
        Err(_) => {
            // RFC 6066 section 3: names only.
            ssl.set_hostname(name)?;
            ssl.param_mut().set_host(name)
        }
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<X509>, CredentialError> {
    let fail = |source| CredentialError::Pem {
        what: "certificate",
        source,
    };
    X509::stack_from_pem(pem).map_err(fail)
}

fn private_key(pem: &[u8]) -> Result<PKey<Private>, CredentialError> {
    let fail = |source| CredentialError::Pem {
        what: "private key",
        source,
    };
    // Without a callback OpenSSL asks for a password on the terminal, and waits there.
    PKey::private_key_from_pem_callback(pem, |_| Ok(0)).map_err(fail)
}

/// All clients share two contexts, as a context is large and devices are many: one for raw public
/// keys, one for everything else. What makes a client itself is attached to its connection.
fn context(is_raw: bool) -> Result<SslContext, ErrorStack> {
    static PLAIN: OnceLock<SslContext> = OnceLock::new();
    static RAW: OnceLock<SslContext> = OnceLock::new();
    let kept = if is_raw { &RAW } else { &PLAIN };
    if let Some(context) = kept.get() {
        return Ok(context.clone());
    }
    let made = make_context(is_raw)?;
    Ok(kept.get_or_init(|| made).clone())
}

fn make_context(is_raw: bool) -> Result<SslContext, ErrorStack> {
    let mut context = SslContextBuilder::new(SslMethod::dtls_client())?;
    context.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
    context.set_max_proto_version(Some(SslVersion::DTLS1_2))?;
    context.set_options(SslOptions::NO_QUERY_MTU | SslOptions::NO_RENEGOTIATION);
    context.set_mode(SslMode::RELEASE_BUFFERS);
    // Sessions are kept by those who want to take them up again.
    context.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
    cid::offer(&mut context)?;
    // What constrained devices have; it also keeps the ClientHello small.
    context.set_groups_list("P-256")?;
    if is_raw {
        ffi::set_certificate_types(&mut context, &[CertificateType::RawPublicKey])?;
        return Ok(context.build());
    }
    let secret = secret_index()?;
    context.set_psk_client_callback(move |ssl, _hint, identity_out, key_out| {
        let credentials: Option<&ClientCredentials> = ssl.ex_data(secret);
        let Some(Secret::Psk { identity, key }) = credentials.map(|held| &*held.0) else {
            return Ok(0);
        };
        // The identity is a C string: it ends with a zero byte.
        let name = [identity.as_bytes(), &[0]].concat();
        let (Some(name_room), Some(key_room)) = (
            identity_out.get_mut(..name.len()),
            key_out.get_mut(..key.len()),
        ) else {
            return Ok(0);
        };
        name_room.copy_from_slice(&name);
        key_room.copy_from_slice(key);
        Ok(key.len())
    });
    Ok(context.build())
}

fn secret_index() -> Result<Index<Ssl, ClientCredentials>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, ClientCredentials>> = OnceLock::new();
    if let Some(index) = INDEX.get() {
        return Ok(*index);
    }
    let made = Ssl::new_ex_index()?;
    Ok(*INDEX.get_or_init(|| made))
}

/// LwM2M 1.1 transport 5.2.8.1 and what OpenSSL has beside it, best first.
const PSK_SUITES: &str = "PSK-AES128-GCM-SHA256:PSK-AES128-CCM8:PSK-AES128-CCM:ECDHE-PSK-AES128-CBC-SHA256:PSK-AES128-CBC-SHA256";
/// LwM2M 1.1 transport 5.2.8.2 and 5.2.8.3.
const ECDSA_SUITES: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-CCM8:ECDHE-ECDSA-AES128-CCM:ECDHE-ECDSA-AES128-SHA256";
/// `PSK_MAX_IDENTITY_LEN` of OpenSSL.
const MAX_IDENTITY_BYTES: usize = 256;
/// `PSK_MAX_PSK_LEN` of OpenSSL.
const MAX_KEY_BYTES: usize = 512;
