//! Session tickets (RFC 5077) that say whose they are, through the calls of OpenSSL that the
//! `openssl` crate lacks.
//!
//! A ticket resumes a session without the credential being shown again. So it carries what the
//! handshake has proven, and is taken only while that is still valid: a removed key, a revoked
//! certificate or another CA make it worthless at once. Keys of tickets come from outside, so that a
//! restart does not make every device shake hands in full.

#![expect(
    unsafe_code,
    reason = "the crate does not bind these calls; each block says why it is sound"
)]

use std::ptr;

use foreign_types_shared::ForeignTypeRef as _;
use libc::{c_int, c_long, c_uchar, c_void};
use openssl::error::ErrorStack;
use openssl::ssl::{SslContextBuilder, SslRef};
use openssl_sys::{SSL, SSL_CTX, SSL_CTX_ctrl, SSL_SESSION, SSL_get_session};

use super::proof;

/// Bytes of the keys of tickets: a name, one for the MAC and one for the cipher.
pub const TICKET_KEYS: usize = 80;

/// Has the context issue and take tickets under these keys, good for this many seconds.
///
/// # Errors
/// OpenSSL does not take the keys.
pub(super) fn set_up(
    context: &mut SslContextBuilder,
    keys: &[u8; TICKET_KEYS],
    seconds: u64,
) -> Result<(), ErrorStack> {
    let context = context.as_ptr();
    let mut keys = *keys;
    let seconds = c_long::try_from(seconds).unwrap_or(c_long::MAX);
    // SAFETY: the pointer is that of a live SSL_CTX that is borrowed mutably. The keys are copied by
    // the call. The callbacks have the types that the call asks for and live as long as the program.
    let taken = unsafe {
        SSL_CTX_ctrl(
            context,
            SET_TICKET_KEYS,
            KEYS_LENGTH,
            keys.as_mut_ptr().cast(),
        ) == 1
            && SSL_CTX_set_session_ticket_cb(context, issue, take, ptr::null_mut()) == 1
    };
    zeroize::Zeroize::zeroize(&mut keys);
    if !taken {
        return Err(ErrorStack::get());
    }
    // SAFETY: as above; the call only stores a number.
    unsafe { SSL_CTX_set_timeout(context, seconds) };
    Ok(())
}

/// What the ticket of a resumed session says.
pub(super) fn notes_of(ssl: &SslRef) -> Option<Vec<u8>> {
    let session = ssl.session()?;
    // SAFETY: the session belongs to a live SSL, whose borrow outlasts the copy.
    unsafe { notes_in(session.as_ptr()) }
}

/// # Safety
/// The session lives during the call.
unsafe fn notes_in(session: *mut SSL_SESSION) -> Option<Vec<u8>> {
    let mut data: *mut c_void = ptr::null_mut();
    let mut length = 0;
    // SAFETY: OpenSSL writes a pointer into the session, which the caller keeps alive, and a length.
    let found = unsafe { SSL_SESSION_get0_ticket_appdata(session, &raw mut data, &raw mut length) };
    if found != 1 || data.is_null() {
        return None;
    }
    // SAFETY: the pointer and length were just given by OpenSSL for memory of the live session.
    let notes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), length) };
    Some(notes.to_vec())
}

/// Called by OpenSSL before a ticket is written: the notes go into it.
extern "C" fn issue(ssl: *mut SSL, _: *mut c_void) -> c_int {
    // SAFETY: OpenSSL calls with a live SSL that nobody else uses during the call.
    let found = unsafe { SslRef::from_ptr(ssl) };
    let notes = proof::notes_for(found).unwrap_or_default();
    // SAFETY: the SSL is live, its session, if any, lives as long, and the notes are copied.
    let noted = unsafe {
        let session = SSL_get_session(ssl);
        !session.is_null()
            && SSL_SESSION_set1_ticket_appdata(session, notes.as_ptr().cast(), notes.len()) == 1
    };
    c_int::from(noted)
}

/// Called by OpenSSL after a ticket was deciphered, or could not be.
extern "C" fn take(
    ssl: *mut SSL,
    session: *mut SSL_SESSION,
    _: *const c_uchar,
    _: usize,
    status: c_int,
    _: *mut c_void,
) -> c_int {
    if !matches!(status, TICKET_SUCCESS | TICKET_SUCCESS_RENEW) || session.is_null() {
        return RETURN_IGNORE_RENEW;
    }
    // SAFETY: OpenSSL calls with a live SSL and the live session that it has just deciphered.
    let (ssl, notes) = unsafe { (SslRef::from_ptr(ssl), notes_in(session)) };
    match notes {
        Some(notes) if proof::by_notes(ssl, &notes).is_some() => RETURN_USE,
        _ => RETURN_IGNORE_RENEW,
    }
}

// <openssl/ssl.h>
type Issue = extern "C" fn(*mut SSL, *mut c_void) -> c_int;
type Take =
    extern "C" fn(*mut SSL, *mut SSL_SESSION, *const c_uchar, usize, c_int, *mut c_void) -> c_int;

unsafe extern "C" {
    fn SSL_CTX_set_session_ticket_cb(
        context: *mut SSL_CTX,
        issue: Issue,
        take: Take,
        argument: *mut c_void,
    ) -> c_int;
    fn SSL_CTX_set_timeout(context: *mut SSL_CTX, seconds: c_long) -> c_long;
    fn SSL_SESSION_set1_ticket_appdata(
        session: *mut SSL_SESSION,
        data: *const c_void,
        length: usize,
    ) -> c_int;
    fn SSL_SESSION_get0_ticket_appdata(
        session: *mut SSL_SESSION,
        data: *mut *mut c_void,
        length: *mut usize,
    ) -> c_int;
}

const SET_TICKET_KEYS: c_int = 59;
const KEYS_LENGTH: c_long = TICKET_KEYS as c_long;
const TICKET_SUCCESS: c_int = 5;
const TICKET_SUCCESS_RENEW: c_int = 6;
const RETURN_IGNORE_RENEW: c_int = 2;
const RETURN_USE: c_int = 3;
