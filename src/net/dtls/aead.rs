//! The ciphers of records that authenticate what they encrypt, by OpenSSL's EVP interface (RFC 5288, RFC
//! 6655, RFC 7905).

use openssl::cipher::{Cipher, CipherRef};
use openssl::cipher_ctx::CipherCtx;
use openssl::error::ErrorStack;
use openssl::ssl::SslCipherRef;
use zeroize::{Zeroize as _, Zeroizing};

/// What a cipher suite protects records with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aead {
    Aes128Ccm = 1,
    Aes128Ccm8 = 2,
    Aes128Gcm = 3,
    Aes256Ccm8 = 4,
    Aes256Gcm = 5,
    ChaCha20Poly1305 = 6,
}

impl Aead {
    /// Every one, as it is numbered in what is stored.
    pub(super) const ALL: [Self; 6] = [
        Self::Aes128Ccm,
        Self::Aes128Ccm8,
        Self::Aes128Gcm,
        Self::Aes256Ccm8,
        Self::Aes256Gcm,
        Self::ChaCha20Poly1305,
    ];

    /// That of a suite; none when the suite has a MAC of its own (CBC).
    pub(super) fn of(suite: &SslCipherRef) -> Option<Self> {
        let name = suite.name();
        let found = NAMES.iter().find(|(end, _)| name.ends_with(end));
        found.map(|(_, aead)| *aead)
    }

    /// Bytes of the key.
    pub(super) fn key(self) -> usize {
        match self {
            Self::Aes128Ccm | Self::Aes128Ccm8 | Self::Aes128Gcm => 16,
            Self::Aes256Ccm8 | Self::Aes256Gcm | Self::ChaCha20Poly1305 => 32,
        }
    }

    /// Bytes of the nonce that come from the handshake.
    pub(super) fn fixed(self) -> usize {
        NONCE - self.explicit()
    }

    /// Bytes of the nonce that stand in each record.
    pub(super) fn explicit(self) -> usize {
        match self {
            Self::ChaCha20Poly1305 => 0,
            _ => 8,
        }
    }

    /// Bytes of the tag.
    pub(super) fn tag(self) -> usize {
        match self {
            Self::Aes128Ccm8 | Self::Aes256Ccm8 => 8,
            _ => 16,
        }
    }

    /// OpenSSL's name of the hash in the suite's PRF (RFC 5246 section 5).
    pub(super) fn digest(self) -> &'static std::ffi::CStr {
        match self {
            Self::Aes256Gcm => c"SHA2-384",
            _ => c"SHA2-256",
        }
    }

    fn cipher(self) -> &'static CipherRef {
        match self {
            Self::Aes128Ccm | Self::Aes128Ccm8 => Cipher::aes_128_ccm(),
            Self::Aes128Gcm => Cipher::aes_128_gcm(),
            Self::Aes256Ccm8 => Cipher::aes_256_ccm(),
            Self::Aes256Gcm => Cipher::aes_256_gcm(),
            Self::ChaCha20Poly1305 => Cipher::chacha20_poly1305(),
        }
    }

    fn is_ccm(self) -> bool {
        matches!(self, Self::Aes128Ccm | Self::Aes128Ccm8 | Self::Aes256Ccm8)
    }
}

/// Key and fixed part of the nonces of one direction; what is longer than the cipher's is not used.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Secret {
    pub(super) key: [u8; LONGEST_KEY],
    pub(super) fixed: [u8; NONCE],
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.key.zeroize();
        self.fixed.zeroize();
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// OpenSSL's contexts, one of each kind for all sessions of a thread: a key is set up for each record, which
/// is cheaper than to keep a context for each session.
#[derive(Default)]
pub(super) struct Ciphers {
    contexts: [Option<Pair>; Aead::ALL.len()],
}

struct Pair {
    seal: CipherCtx,
    open: CipherCtx,
}

/// One use of a key.
#[derive(Clone, Copy)]
pub(super) struct Use<'a> {
    pub(super) aead: Aead,
    pub(super) secret: &'a Secret,
    /// The part of the nonce that is not fixed: epoch and number of the record, or what stands in it.
    pub(super) explicit: [u8; 8],
    /// What is authenticated and not encrypted.
    pub(super) beside: &'a [u8],
}

impl Use<'_> {
    fn key(&self) -> &[u8] {
        self.secret.key.get(..self.aead.key()).unwrap_or_default()
    }

    fn nonce(&self) -> [u8; NONCE] {
        let mut nonce = self.secret.fixed;
        let (_, place) = nonce.split_at_mut(NONCE - self.explicit.len());
        for (byte, explicit) in place.iter_mut().zip(self.explicit) {
            // Of AES the fixed part ends before (RFC 5288 section 3); of ChaCha20 it does not, and both
            // are added (RFC 7905 section 2).
            *byte ^= explicit;
        }
        nonce
    }
}

impl Ciphers {
    /// Appends the encrypted text and its tag.
    ///
    /// # Errors
    /// OpenSSL fails; nothing was appended.
    pub(super) fn seal(
        &mut self,
        with: Use<'_>,
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ErrorStack> {
        let begin = out.len();
        let sealed = self.try_seal(with, text, out);
        if sealed.is_err() {
            out.truncate(begin);
        }
        sealed
    }

    fn try_seal(
        &mut self,
        with: Use<'_>,
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ErrorStack> {
        let context = &mut self.pair(with.aead)?.seal;
        context.encrypt_init(None, Some(with.key()), Some(&with.nonce()))?;
        if with.aead.is_ccm() {
            context.set_data_len(text.len())?;
        }
        context.cipher_update(with.beside, None)?;
        context.cipher_update_vec(text, out)?;
        context.cipher_final_vec(out)?;
        let begin = out.len();
        out.resize(begin + with.aead.tag(), 0);
        context.tag(out.get_mut(begin..).unwrap_or_default())
    }

    /// Replaces what is in `out` by the text of something sealed; false, and nothing in it, when it is not
    /// genuine. OpenSSL compares tags in constant time.
    pub(super) fn open(&mut self, with: Use<'_>, sealed: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        let Some(length) = sealed.len().checked_sub(with.aead.tag()) else {
            return false;
        };
        let (text, tag) = sealed.split_at(length);
        let opened = self.try_open(with, text, tag, out);
        if opened.is_err() {
            // What it says about a stranger's record must not be found by the next call.
            drop(ErrorStack::get());
            out.zeroize();
        }
        opened.is_ok()
    }

    fn try_open(
        &mut self,
        with: Use<'_>,
        text: &[u8],
        tag: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ErrorStack> {
        let context = &mut self.pair(with.aead)?.open;
        if with.aead.is_ccm() {
            // Before the key: it says how long the tag is.
            context.set_tag(tag)?;
        }
        context.decrypt_init(None, Some(with.key()), Some(&with.nonce()))?;
        if with.aead.is_ccm() {
            context.set_data_len(text.len())?;
        } else {
            context.set_tag(tag)?;
        }
        context.cipher_update(with.beside, None)?;
        context.cipher_update_vec(text, out)?;
        // Of CCM the tag was looked at already.
        if !with.aead.is_ccm() {
            context.cipher_final_vec(out)?;
        }
        Ok(())
    }

    fn pair(&mut self, aead: Aead) -> Result<&mut Pair, ErrorStack> {
        let [ccm, ccm_8, gcm, ccm_8_256, gcm_256, chacha] = &mut self.contexts;
        let place = match aead {
            Aead::Aes128Ccm => ccm,
            Aead::Aes128Ccm8 => ccm_8,
            Aead::Aes128Gcm => gcm,
            Aead::Aes256Ccm8 => ccm_8_256,
            Aead::Aes256Gcm => gcm_256,
            Aead::ChaCha20Poly1305 => chacha,
        };
        if place.is_none() {
            *place = Some(Pair::new(aead)?);
        }
        place.as_mut().ok_or_else(ErrorStack::get)
    }
}

impl Pair {
    fn new(aead: Aead) -> Result<Self, ErrorStack> {
        let mut seal = CipherCtx::new()?;
        seal.encrypt_init(Some(aead.cipher()), None, None)?;
        seal.set_iv_length(NONCE)?;
        let mut open = CipherCtx::new()?;
        open.decrypt_init(Some(aead.cipher()), None, None)?;
        open.set_iv_length(NONCE)?;
        if aead.is_ccm() {
            seal.set_tag_length(aead.tag())?;
            open.set_tag_length(aead.tag())?;
        }
        Ok(Self { seal, open })
    }
}

/// Key block of a suite: what both sides derive from the secret of a handshake, cut into the secrets of the
/// client and of the server (RFC 5246 section 6.3; none of these suites has a MAC key).
pub(super) fn secrets(aead: Aead, key_block: &[u8]) -> Option<[Secret; 2]> {
    let (keys, fixed) = key_block.split_at_checked(2 * aead.key())?;
    let mut keys = keys.chunks_exact(aead.key());
    let mut fixed = fixed.chunks_exact(aead.fixed());
    let mut next = || {
        let mut secret = Secret::default();
        let key = keys.next()?;
        secret.key.get_mut(..key.len())?.copy_from_slice(key);
        let part = fixed.next()?;
        secret.fixed.get_mut(..part.len())?.copy_from_slice(part);
        Some(secret)
    };
    Some([next()?, next()?])
}

/// Room for the key block of a suite.
pub(super) fn key_block(aead: Aead) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(vec![0; 2 * (aead.key() + aead.fixed())])
}

/// Bytes of a nonce, of every suite.
pub(super) const NONCE: usize = 12;
const LONGEST_KEY: usize = 32;
/// How OpenSSL's names of suites end, by what protects their records.
const NAMES: [(&str, Aead); Aead::ALL.len()] = [
    ("AES128-CCM", Aead::Aes128Ccm),
    ("AES128-CCM8", Aead::Aes128Ccm8),
    ("AES128-GCM-SHA256", Aead::Aes128Gcm),
    ("AES256-CCM8", Aead::Aes256Ccm8),
    ("AES256-GCM-SHA384", Aead::Aes256Gcm),
    ("CHACHA20-POLY1305", Aead::ChaCha20Poly1305),
];
