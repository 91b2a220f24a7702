//! OpenSSL's contexts: one for peers that call us, two for peers that we call.

use openssl::error::ErrorStack;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslSessionCacheMode,
    SslStream, SslVerifyMode, SslVersion,
};

use super::cid;
use super::ffi::{self, CertificateType};
use super::pipe::Pipe;
use super::proof::{Trust, trust_index, with_findings};
use super::sieve::NO_ENCRYPT_THEN_MAC;
use super::suites::{Only, UnknownSuite, cipher_list, has_suite};
use super::tickets::{self, TICKET_KEYS};
use crate::config::Coaps;
use crate::security::ServerCertificates;

/// Why DTLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// A suite of the settings.
    #[error("setting `coaps.cipher_suites`: {0}")]
    Suite(#[from] UnknownSuite),
    /// OpenSSL refuses something.
    #[error("OpenSSL: {0}")]
    OpenSsl(#[from] ErrorStack),
}

/// All contexts, made anew when certificates change.
pub(super) struct Contexts {
    /// For peers that call us.
    pub(super) server: SslContext,
    /// For calling devices that have a pre-shared key; none when no suite is for them.
    psk_client: Option<Caller>,
    /// For calling devices that have a certificate or a raw public key.
    certificate_client: Option<Caller>,
}

/// A context by which devices are called.
pub(super) struct Caller {
    pub(super) context: SslContext,
    /// Bytes of the datagram that begins a handshake.
    pub(super) hello_bytes: usize,
}

impl Caller {
    fn new(context: SslContext, settings: &Coaps) -> Result<Self, ContextError> {
        let mut ssl = Ssl::new(&context)?;
        ssl.set_mtu(settings.mtu_bytes)?;
        ssl.set_connect_state();
        let mut stream = SslStream::new(ssl, Pipe::default())?;
        // It waits for an answer, once the hello is written.
        let _ = stream.do_handshake();
        let hello = stream.get_mut().pop().ok_or_else(ErrorStack::get)?;
        Ok(Self {
            context,
            hello_bytes: hello.len(),
        })
    }
}

impl Contexts {
    pub(super) fn new(
        settings: &Coaps,
        certificates: &ServerCertificates,
        trust: &Trust,
        ticket_keys: &[u8; TICKET_KEYS],
    ) -> Result<Self, ContextError> {
        let has = |only| has_suite(&settings.cipher_suites, only);
        let psk_client = has(Only::Psk).then(|| psk_client(settings, trust));
        let certificate_client =
            has(Only::Certificates).then(|| certificate_client(settings, certificates, trust));
        let caller = |context: Option<Result<SslContext, ContextError>>| {
            context
                .map(|context| Caller::new(context?, settings))
                .transpose()
        };
        Ok(Self {
            server: server(settings, certificates, trust, ticket_keys)?,
            psk_client: caller(psk_client)?,
            certificate_client: caller(certificate_client)?,
        })
    }

    /// By what a device is called; nothing when none of the suites in the settings is for its kind of
    /// credential.
    pub(super) fn caller(&self, has_psk: bool) -> Option<&Caller> {
        if has_psk {
            self.psk_client.as_ref()
        } else {
            self.certificate_client.as_ref()
        }
    }
}

fn server(
    settings: &Coaps,
    certificates: &ServerCertificates,
    trust: &Trust,
    ticket_keys: &[u8; TICKET_KEYS],
) -> Result<SslContext, ContextError> {
    let mut context = common(SslMethod::dtls_server(), settings, Only::All, trust)?;
    context.set_options(SslOptions::CIPHER_SERVER_PREFERENCE | SslOptions::COOKIE_EXCHANGE);
    prove_by_certificate(&mut context, certificates, trust)?;
    context.set_session_id_context(b"flownexus")?;
    if settings.resumption_s > 0 {
        tickets::set_up(&mut context, ticket_keys, settings.resumption_s)?;
    } else {
        context.set_options(SslOptions::NO_TICKET);
    }
    if settings.connection_id_bytes > 0 {
        cid::take(&mut context, settings.connection_id_bytes)?;
    }
    let judge = trust.clone();
    context.set_psk_server_callback(move |ssl, identity, key| {
        Ok(judge.server_psk(ssl, identity, key))
    });
    // Only hellos whose cookie was checked already come this far, see `hello`.
    context.set_cookie_generate_cb(|_, _| Ok(0));
    context.set_cookie_verify_cb(|_, _| true);
    Ok(context.build())
}

fn psk_client(settings: &Coaps, trust: &Trust) -> Result<SslContext, ContextError> {
    let mut context = common(SslMethod::dtls_client(), settings, Only::Psk, trust)?;
    // No session of ours is taken up again, and a hello must be small.
    context.set_options(SslOptions::NO_TICKET);
    context.set_psk_client_callback(|ssl, _, identity, key| {
        let written = with_findings(ssl, |findings| {
            let (name, secret) = findings.own_psk.as_ref()?;
            // OpenSSL reads the identity up to a NUL.
            let place = identity.get_mut(..name.len().checked_add(1)?)?;
            let (text, end) = place.split_at_mut(name.len());
            text.copy_from_slice(name.as_bytes());
            end.fill(0);
            key.get_mut(..secret.len())?.copy_from_slice(secret);
            Some(secret.len())
        });
        Ok(written.flatten().unwrap_or_default())
    });
    Ok(context.build())
}

fn certificate_client(
    settings: &Coaps,
    certificates: &ServerCertificates,
    trust: &Trust,
) -> Result<SslContext, ContextError> {
    let mut context = common(
        SslMethod::dtls_client(),
        settings,
        Only::Certificates,
        trust,
    )?;
    context.set_options(SslOptions::NO_TICKET);
    prove_by_certificate(&mut context, certificates, trust)?;
    Ok(context.build())
}

fn common(
    method: SslMethod,
    settings: &Coaps,
    only: Only,
    trust: &Trust,
) -> Result<SslContextBuilder, ContextError> {
    let mut context = SslContext::builder(method)?;
    context.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
    context.set_max_proto_version(Some(SslVersion::DTLS1_2))?;
    context.set_cipher_list(&cipher_list(&settings.cipher_suites, only)?)?;
    // At security level 0 nothing is refused for its strength, so what may be used is listed.
    context.set_groups_list("P-256:X25519:P-384")?;
    context.set_sigalgs_list(
        "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:RSA-PSS+SHA256:RSA+SHA256",
    )?;
    context
        .set_options(SslOptions::NO_QUERY_MTU | SslOptions::NO_RENEGOTIATION | NO_ENCRYPT_THEN_MAC);
    context.set_mode(SslMode::RELEASE_BUFFERS);
    // Tickets keep sessions at the devices; nothing is kept here.
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    if let Some(index) = trust_index() {
        context.set_ex_data(index, trust.clone());
    }
    Ok(context)
}

/// Our certificate, or its key as a raw public key, and what is asked of the peer.
fn prove_by_certificate(
    context: &mut SslContextBuilder,
    certificates: &ServerCertificates,
    trust: &Trust,
) -> Result<(), ContextError> {
    let mut chain = certificates.chain.iter();
    if let Some(own) = chain.next() {
        context.set_certificate(own)?;
    }
    for next in chain {
        context.add_extra_chain_cert(next.clone())?;
    }
    context.set_private_key(&certificates.key)?;
    context.set_verify_cert_store(certificates.trust()?)?;
    ffi::set_certificate_types(
        context,
        &[CertificateType::RawPublicKey, CertificateType::X509],
    )?;
    // No names of CAs go into the request for a certificate: one that is stored may be of any.
    let judge = trust.clone();
    context.set_verify_callback(
        SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT,
        move |is_fine, store| judge.judge(is_fine, store),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::fuzzing;
    use crate::config::Settings;

    #[test]
    fn the_hellos_by_which_devices_are_called_fit_the_grace() {
        let grace = Settings::defaults().admission.grace_bytes;
        for has_psk in [true, false] {
            let contexts = fuzzing::contexts();
            let hello = contexts.caller(has_psk).expect("suites").hello_bytes;
            assert!(hello <= grace, "{hello} bytes, PSK: {has_psk}");
        }
    }
}
