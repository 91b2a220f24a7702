//! The few calls of OpenSSL that the `openssl` crate lacks, behind safe functions: DTLS timers, the
//! cookie exchange without state, raw public keys (RFC 7250; OpenSSL 3.2 and later, and ours is
//! built with the crate) and the PRF of TLS 1.2. Nothing here decides anything; all unsafe code of the server is here.

#![expect(
    unsafe_code,
    reason = "the crate does not bind these calls; each block says why it is sound"
)]

use std::ffi::CStr;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use foreign_types_shared::ForeignTypeRef as _;
use libc::{c_int, c_uchar};
use openssl::error::ErrorStack;
use openssl::pkey::{PKeyRef, Public};
use openssl::ssl::{
    Ssl, SslCipherRef, SslContext, SslContextBuilder, SslRef, SslSession, SslStream,
};
use openssl::x509::{X509StoreContextRef, X509VerifyResult};
use openssl_sys::{
    ERR_reason_error_string, EVP_KDF, EVP_KDF_CTX, EVP_KDF_CTX_free, EVP_KDF_CTX_new,
    EVP_KDF_derive, EVP_KDF_fetch, EVP_KDF_free, EVP_PKEY, OSSL_PARAM, OSSL_PARAM_construct_end,
    OSSL_PARAM_construct_octet_string, SSL, SSL_CIPHER, SSL_CTX, SSL_ctrl, X509_STORE_CTX,
};

/// What proves a peer in a handshake with certificates (RFC 7250 section 3, IANA "TLS Certificate
/// Types").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CertificateType {
    X509 = 0,
    RawPublicKey = 2,
}

/// What became of a datagram of a peer without state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listened {
    /// It was a `ClientHello` with a valid cookie: this stream is the peer's from now on, and goes on
    /// with `accept`.
    Accepted,
    /// A `HelloVerifyRequest` was written, or the datagram was dropped. The stream can listen again.
    Nothing,
    /// The stream must be thrown away.
    Broken,
}

/// The time until [`handle_timeout`] is due; none while no flight waits for an answer. Below 15 ms
/// OpenSSL says zero.
pub(super) fn timeout(ssl: &SslRef) -> Option<Duration> {
    let mut left = libc::timeval {
        tv_sec: 0,
        tv_usec: 0,
    };
    // SAFETY: the pointer is that of a live SSL, and this control writes one `timeval` to where its
    // last argument points, and keeps nothing.
    let is_running = unsafe {
        SSL_ctrl(
            ssl.as_ptr(),
            DTLS_CTRL_GET_TIMEOUT,
            0,
            (&raw mut left).cast(),
        )
    };
    let seconds = u64::try_from(left.tv_sec).unwrap_or_default();
    let micros = u64::try_from(left.tv_usec).unwrap_or_default();
    (is_running > 0).then(|| Duration::from_secs(seconds) + Duration::from_micros(micros))
}

/// Sends the last flight again when its time is over. True when it was sent.
///
/// # Errors
/// It was sent too often already; the handshake has failed.
pub(super) fn handle_timeout<S>(stream: &mut SslStream<S>) -> Result<bool, ErrorStack> {
    // SAFETY: the pointer is that of a live SSL; nobody else uses it, because the stream is borrowed
    // mutably; this control takes no argument.
    let sent = unsafe {
        SSL_ctrl(
            stream.ssl().as_ptr(),
            DTLS_CTRL_HANDLE_TIMEOUT,
            0,
            ptr::null_mut(),
        )
    };
    if sent < 0 {
        return Err(ErrorStack::get());
    }
    Ok(sent > 0)
}

/// Has a context offer and take these types of certificates, best first, from both sides.
///
/// # Errors
/// There is no memory.
pub(super) fn set_certificate_types(
    context: &mut SslContextBuilder,
    types: &[CertificateType],
) -> Result<(), ErrorStack> {
    let types: Vec<c_uchar> = types.iter().map(|kind| *kind as c_uchar).collect();
    // SAFETY: the pointers are those of a live SSL_CTX that is borrowed mutably and of a slice with
    // its length; OpenSSL copies the slice.
    let taken = unsafe {
        SSL_CTX_set1_server_cert_type(context.as_ptr(), types.as_ptr(), types.len()) == 1
            && SSL_CTX_set1_client_cert_type(context.as_ptr(), types.as_ptr(), types.len()) == 1
    };
    if taken {
        Ok(())
    } else {
        Err(ErrorStack::get())
    }
}

/// The raw public key by which the peer has proven itself, as `SubjectPublicKeyInfo` in DER. None
/// when it did so in another way.
///
/// # Errors
/// The key cannot be written as DER.
pub(super) fn peer_raw_public_key(ssl: &SslRef) -> Result<Option<Vec<u8>>, ErrorStack> {
    // SAFETY: the pointer is that of a live SSL; the key, if any, belongs to it and is only read
    // before the borrow of `ssl` ends.
    unsafe { der(SSL_get0_peer_rpk(ssl.as_ptr())) }
}

/// Within a verify callback: the raw public key that is being verified, as `SubjectPublicKeyInfo` in
/// DER. None when a certificate is.
///
/// # Errors
/// The key cannot be written as DER.
pub(super) fn raw_public_key(store: &X509StoreContextRef) -> Result<Option<Vec<u8>>, ErrorStack> {
    // SAFETY: the pointer is that of a live X509_STORE_CTX; the key, if any, belongs to it and is
    // only read before the borrow of `store` ends.
    unsafe { der(X509_STORE_CTX_get0_rpk(store.as_ptr())) }
}

/// What a verify callback says of a certificate that is in order but speaks for nobody here.
pub(super) fn refused_by_us() -> X509VerifyResult {
    // SAFETY: X509_V_ERR_APPLICATION_VERIFICATION of <openssl/x509_vfy.h>.
    unsafe { X509VerifyResult::from_raw(50) }
}

/// Has the first flight of a handshake be sent again after this time, and then after twice as long
/// each (RFC 6347 section 4.2.4.1; OpenSSL has no setting for it). Of the whole process: the
/// callback is told nothing but the wait before.
pub(super) fn set_first_timeout<S>(stream: &SslStream<S>, first: Duration) {
    extern "C" fn next(_: *mut SSL, before: libc::c_uint) -> libc::c_uint {
        match before {
            0 => FIRST_TIMEOUT_US.load(Ordering::Relaxed),
            before => before.saturating_mul(2).min(LONGEST_TIMEOUT_US),
        }
    }
    let micros = u32::try_from(first.as_micros()).unwrap_or(LONGEST_TIMEOUT_US);
    FIRST_TIMEOUT_US.store(micros.min(LONGEST_TIMEOUT_US), Ordering::Relaxed);
    // SAFETY: the pointer is that of a live SSL; the callback lives as long as the program and
    // touches nothing but a number.
    unsafe { DTLS_set_timer_cb(stream.ssl().as_ptr(), Some(next)) }
}

/// The cipher suite that a handshake has agreed upon, before it is in use.
pub(super) fn pending_cipher(ssl: &SslRef) -> Option<&SslCipherRef> {
    // SAFETY: the pointer is that of a live SSL, which is only read; ciphers are in tables of OpenSSL
    // that live as long as the program.
    let cipher = unsafe { SSL_get_pending_cipher(ssl.as_ptr()) };
    // SAFETY: it is not null and lives long enough, see above; nobody writes to it.
    (!cipher.is_null()).then(|| unsafe { SslCipherRef::from_ptr(cipher.cast_mut()) })
}

/// What OpenSSL calls one of the reasons of its TLS library.
pub(super) fn reason(code: i32) -> Option<&'static str> {
    // The texts are loaded by it.
    openssl::init();
    let code = TLS_LIBRARY << LIBRARY_SHIFT | libc::c_ulong::try_from(code).ok()?;
    // SAFETY: takes a number, and returns null or a C string in a table that lives as long as the
    // program and that nobody changes.
    let words = unsafe {
        let words = ERR_reason_error_string(code);
        (!words.is_null()).then(|| CStr::from_ptr(words))
    };
    words?.to_str().ok()
}

/// Fills `out` by the PRF of TLS 1.2 (RFC 5246 section 5) with this hash; the label stands in front of the
/// seed.
///
/// # Errors
/// OpenSSL fails.
pub(super) fn prf(
    digest: &CStr,
    secret: &[u8],
    label_and_seed: &[u8],
    out: &mut [u8],
) -> Result<(), ErrorStack> {
    let derivation = Derivation::new(c"TLS1-PRF")?;
    // SAFETY: each parameter points at a C string that lives for ever and at a slice with its length that
    // lives until the end of this function; OpenSSL reads them during the derivation and writes to none.
    let parameters: [OSSL_PARAM; 4] = unsafe {
        [
            OSSL_PARAM_construct_utf8_string(c"digest".as_ptr(), digest.as_ptr().cast_mut(), 0),
            octets(c"secret", secret),
            octets(c"seed", label_and_seed),
            OSSL_PARAM_construct_end(),
        ]
    };
    // SAFETY: the context is live and ours alone; `out` is written up to its length; the list of parameters
    // ends with the mark for it.
    let done = unsafe {
        EVP_KDF_derive(
            derivation.context.as_ptr(),
            out.as_mut_ptr(),
            out.len(),
            parameters.as_ptr(),
        )
    };
    if done == 1 {
        Ok(())
    } else {
        Err(ErrorStack::get())
    }
}

/// # Safety
/// The parameter must not be used for longer than both slices live, and only for what OpenSSL reads.
unsafe fn octets(name: &'static CStr, bytes: &[u8]) -> OSSL_PARAM {
    // SAFETY: as promised by the caller; this only writes the two pointers and the length down.
    unsafe {
        OSSL_PARAM_construct_octet_string(
            name.as_ptr(),
            bytes.as_ptr().cast_mut().cast(),
            bytes.len(),
        )
    }
}

/// One derivation of keys.
struct Derivation {
    algorithm: NonNull<EVP_KDF>,
    context: NonNull<EVP_KDF_CTX>,
}

impl Derivation {
    fn new(name: &CStr) -> Result<Self, ErrorStack> {
        // SAFETY: the name is a C string, and null stands for the default library and properties.
        let algorithm = unsafe { EVP_KDF_fetch(ptr::null_mut(), name.as_ptr(), ptr::null()) };
        let algorithm = NonNull::new(algorithm).ok_or_else(ErrorStack::get)?;
        // SAFETY: the algorithm is live; the context keeps a reference of its own.
        let context = unsafe { EVP_KDF_CTX_new(algorithm.as_ptr()) };
        match NonNull::new(context) {
            Some(context) => Ok(Self { algorithm, context }),
            None => {
                // SAFETY: fetched above, and not used any more.
                unsafe { EVP_KDF_free(algorithm.as_ptr()) }
                Err(ErrorStack::get())
            }
        }
    }
}

impl Drop for Derivation {
    fn drop(&mut self) {
        // SAFETY: both were made by the calls that belong to these, and are not used any more.
        unsafe {
            EVP_KDF_CTX_free(self.context.as_ptr());
            EVP_KDF_free(self.algorithm.as_ptr());
        }
    }
}

/// What a handshake has agreed upon for the client's proof.
#[cfg(test)]
pub(super) fn client_certificate_type(ssl: &SslRef) -> CertificateType {
    // SAFETY: the pointer is that of a live SSL, which is only read.
    match unsafe { SSL_get_negotiated_client_cert_type(ssl.as_ptr()) } {
        2 => CertificateType::RawPublicKey,
        // Also where nothing was negotiated (RFC 7250 section 4.1).
        _ => CertificateType::X509,
    }
}

/// Feeds what waits in the stream to a cookie exchange that keeps nothing about the peer (RFC 6347
/// section 4.2.1). The stream must be new or have had nothing but this call.
pub(super) fn listen<S>(stream: &mut SslStream<S>, scratch: &mut ListenScratch) -> Listened {
    // SAFETY: both pointers are live and borrowed mutably; OpenSSL writes the peer's address, as far
    // as the BIO knows one, into the second and keeps neither.
    match unsafe { DTLSv1_listen(stream.ssl().as_ptr(), scratch.0.as_ptr()) } {
        1.. => Listened::Accepted,
        0 => Listened::Nothing,
        _ => {
            // What it says about a stranger's datagram must not be found by the next call.
            drop(ErrorStack::get());
            Listened::Broken
        }
    }
}

/// Room for an address, which [`listen`] wants although our streams know none.
#[derive(Debug)]
pub(super) struct ListenScratch(NonNull<BioAddr>);

impl ListenScratch {
    /// # Errors
    /// There is no memory.
    pub(super) fn new() -> Result<Self, ErrorStack> {
        // SAFETY: takes nothing, and returns null or what BIO_ADDR_free takes.
        let address = unsafe { BIO_ADDR_new() };
        NonNull::new(address).map(Self).ok_or_else(ErrorStack::get)
    }
}

impl Drop for ListenScratch {
    fn drop(&mut self) {
        // SAFETY: made by BIO_ADDR_new, owned by us alone, and not used any more.
        unsafe { BIO_ADDR_free(self.0.as_ptr()) }
    }
}

// SAFETY: a BIO_ADDR is plain memory, a union of socket addresses, bound to no thread.
unsafe impl Send for ListenScratch {}

/// A session that can be taken up again, with the context that it belongs to.
pub(super) struct Resumable {
    context: SslContext,
    session: SslSession,
}

impl Resumable {
    /// The session of a finished handshake.
    pub(super) fn of(ssl: &SslRef) -> Option<Self> {
        Some(Self {
            context: ssl.ssl_context().to_owned(),
            session: ssl.session()?.to_owned(),
        })
    }

    /// A new connection that offers the session.
    ///
    /// # Errors
    /// There is no memory.
    pub(super) fn connection(&self) -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        // SAFETY: the session is one of this context, which is all that is asked for.
        unsafe { ssl.set_session(&self.session)? };
        Ok(ssl)
    }
}

/// Has the waits of a handshake be a few milliseconds. They cannot be less than 15 ms, which OpenSSL
/// takes for over at once.
#[cfg(test)]
pub(super) fn hurry<S>(stream: &mut SslStream<S>) {
    extern "C" fn soon(_: *mut SSL, _: libc::c_uint) -> libc::c_uint {
        25_000
    }
    // SAFETY: the pointer is that of a live SSL whose stream is borrowed mutably; the callback
    // touches nothing.
    unsafe { DTLS_set_timer_cb(stream.ssl().as_ptr(), Some(soon)) }
}

/// Has the waits of a handshake be what [`set_wait`] says when they begin.
#[cfg(test)]
pub(super) fn wait_as_told<S>(stream: &mut SslStream<S>) {
    extern "C" fn told(_: *mut SSL, _: libc::c_uint) -> libc::c_uint {
        WAIT_US.get()
    }
    // SAFETY: the pointer is that of a live SSL whose stream is borrowed mutably; the callback
    // touches nothing but a number of its thread.
    unsafe { DTLS_set_timer_cb(stream.ssl().as_ptr(), Some(told)) }
}

/// The waits that begin in this thread from now on.
#[cfg(test)]
pub(super) fn set_wait(wait: Duration) {
    let micros = u32::try_from(wait.as_micros()).unwrap_or(LONGEST_TIMEOUT_US);
    WAIT_US.set(micros.min(LONGEST_TIMEOUT_US));
}

/// # Safety
/// `key` is null or a key that lives during the call.
unsafe fn der(key: *mut EVP_PKEY) -> Result<Option<Vec<u8>>, ErrorStack> {
    if key.is_null() {
        return Ok(None);
    }
    // SAFETY: as promised by the caller; a raw public key has a public half.
    let key = unsafe { PKeyRef::<Public>::from_ptr(key) };
    key.public_key_to_der().map(Some)
}

/// `BIO_ADDR` of <openssl/bio.h>.
enum BioAddr {}

// <openssl/ssl.h>, <openssl/bio.h>, <openssl/params.h> and <openssl/x509_vfy.h> of OpenSSL 3.2 and later.
unsafe extern "C" {
    fn OSSL_PARAM_construct_utf8_string(
        key: *const libc::c_char,
        text: *mut libc::c_char,
        length: usize,
    ) -> OSSL_PARAM;
    fn SSL_get_pending_cipher(ssl: *const SSL) -> *const SSL_CIPHER;
    fn BIO_ADDR_new() -> *mut BioAddr;
    fn BIO_ADDR_free(address: *mut BioAddr);
    fn DTLSv1_listen(ssl: *mut SSL, peer: *mut BioAddr) -> c_int;
    fn SSL_CTX_set1_client_cert_type(
        context: *mut SSL_CTX,
        types: *const c_uchar,
        length: usize,
    ) -> c_int;
    fn SSL_CTX_set1_server_cert_type(
        context: *mut SSL_CTX,
        types: *const c_uchar,
        length: usize,
    ) -> c_int;
    #[cfg(test)]
    fn SSL_get_negotiated_client_cert_type(ssl: *const SSL) -> c_int;
    fn SSL_get0_peer_rpk(ssl: *const SSL) -> *mut EVP_PKEY;
    fn X509_STORE_CTX_get0_rpk(store: *const X509_STORE_CTX) -> *mut EVP_PKEY;
    fn DTLS_set_timer_cb(
        ssl: *mut SSL,
        callback: Option<extern "C" fn(*mut SSL, libc::c_uint) -> libc::c_uint>,
    );
}

/// Of <openssl/ssl.h>, where these two are macros around `SSL_ctrl`.
const DTLS_CTRL_GET_TIMEOUT: c_int = 73;
const DTLS_CTRL_HANDLE_TIMEOUT: c_int = 74;

/// Of <openssl/err.h>: `ERR_LIB_SSL`, and where the library stands in a code.
const TLS_LIBRARY: libc::c_ulong = 20;
const LIBRARY_SHIFT: u32 = 23;

#[cfg(test)]
thread_local! {
    static WAIT_US: std::cell::Cell<u32> = const { std::cell::Cell::new(1_000_000) };
}
static FIRST_TIMEOUT_US: AtomicU32 = AtomicU32::new(1_000_000);
const LONGEST_TIMEOUT_US: u32 = 60_000_000;
