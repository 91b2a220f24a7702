//! Alerts (RFC 5246 section 7.2): their levels and numbers, and fatal ones of the peer as OpenSSL tells of
//! them.

use openssl::error::ErrorStack;

use super::ffi;

/// The alert by which the peer has ended the connection, if that is among the errors.
pub(super) fn of(errors: &ErrorStack) -> Option<u8> {
    errors
        .errors()
        .iter()
        .find_map(|error| u8::try_from(error.reason_code().checked_sub(OFFSET)?).ok())
}

/// What an alert is called, as `unknown psk identity`.
pub(super) fn name(alert: u8) -> &'static str {
    let words = ffi::reason(OFFSET + i32::from(alert)).unwrap_or("unknown");
    // As in `tlsv1 alert internal error`.
    words.rsplit_once("alert ").map_or(words, |(_, name)| name)
}

/// Levels.
pub(super) const WARNING: u8 = 1;
pub(super) const FATAL: u8 = 2;
/// What they say (RFC 5246 sections 7.2.1 and 7.2.2).
pub(super) const CLOSE_NOTIFY: u8 = 0;
/// Also for unknown identities (RFC 4279 section 2).
pub(super) const DECRYPT_ERROR: u8 = 51;
pub(super) const NO_RENEGOTIATION: u8 = 100;
/// `SSL_AD_REASON_OFFSET`: the reasons from here on are the alerts of the peer.
const OFFSET: i32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_have_their_names() {
        assert_eq!(name(80), "internal error");
        assert!(name(115).contains("unknown psk identity"), "{}", name(115));
        assert_eq!(name(255), "unknown");
    }
}
