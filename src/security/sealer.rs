//! Secrets under a key: AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits, in front of the tag of
//! 128 bits and the ciphertext. What a secret belongs to is authenticated with it.

use openssl::symm::{Cipher, decrypt_aead, encrypt_aead};
use zeroize::Zeroizing;

/// Seals and opens under one key.
pub struct Sealer(Zeroizing<[u8; KEY_BYTES]>);

impl Sealer {
    /// Under this key, which is used for nothing else.
    pub fn new(key: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self(key)
    }

    /// Seals a secret for what it belongs to.
    ///
    /// # Errors
    /// OpenSSL or the source of randomness fails; in its words.
    pub fn seal(&self, bound_to: &[u8], secret: &[u8]) -> Result<Vec<u8>, String> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|error| error.to_string())?;
        let mut tag = [0; TAG_BYTES];
        let sealed = encrypt_aead(
            Cipher::aes_256_gcm(),
            self.0.as_slice(),
            Some(&nonce),
            bound_to,
            secret,
            &mut tag,
        )
        .map_err(|error| error.to_string())?;
        Ok([&nonce[..], &tag, &sealed].concat())
    }

    /// Opens what was sealed for this; nothing when it is damaged, or belongs to something else.
    pub fn open(&self, bound_to: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_BYTES)?;
        let (tag, ciphertext) = rest.split_at_checked(TAG_BYTES)?;
        decrypt_aead(
            Cipher::aes_256_gcm(),
            self.0.as_slice(),
            Some(nonce),
            bound_to,
            ciphertext,
            tag,
        )
        .map(Zeroizing::new)
        .ok()
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
