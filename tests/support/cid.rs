//! Connection ids (RFC 9146) for a scripted device, below OpenSSL, which has none: the extension, and the
//! records of type `tls12_cid` for suites with AES-128-CCM-8. It is as small as can be, and nothing of it is
//! the server's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use openssl::ssl::{ExtensionContext, SslAlert, SslContextBuilder, SslRef};

/// The type of a record with a connection id (RFC 9146 section 4).
pub(crate) const TLS12_CID: u8 = 25;
/// Of handshake messages (RFC 5246 section 6.2.1).
pub(crate) const HANDSHAKE: u8 = 22;
/// `connection_id` (RFC 9146 section 10).
const EXTENSION: u16 = 54;
/// Bytes before the connection id of a record.
const HEAD: usize = 11;
const TAG: usize = 8;

/// What a device says of connection ids in its hello.
#[derive(Clone)]
pub(crate) struct Offer {
    /// What stands in the extension, right or wrong.
    extension: Vec<u8>,
    /// The id that it wants in what it gets.
    own: Vec<u8>,
}

impl Offer {
    pub(crate) fn of(own: &[u8]) -> Self {
        let length = u8::try_from(own.len()).expect("no longer id");
        let own = own.to_vec();
        Self {
            extension: [&[length], &own[..]].concat(),
            own,
        }
    }

    /// Whatever these bytes mean.
    pub(crate) fn raw(extension: &[u8]) -> Self {
        Self {
            extension: extension.to_vec(),
            own: Vec::new(),
        }
    }
}

/// Between OpenSSL and the socket. Does nothing where no ids were agreed upon.
#[derive(Clone, Default)]
pub(crate) struct Shim(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    own: Vec<u8>,
    /// What the server wants in what it gets, once it has said so.
    peer: Option<Vec<u8>>,
    /// Of the client, and of the server.
    keys: Option<[Key; 2]>,
    /// The number of the next record that goes out.
    next: u64,
    /// Records go out as OpenSSL makes them.
    is_off: bool,
    /// The last handshake message under keys.
    finished: Vec<u8>,
}

#[derive(Clone)]
struct Key {
    key: [u8; 16],
    /// The part of the nonces that no record shows.
    salt: [u8; 4],
}

impl Shim {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a context offer connection ids.
    pub(crate) fn set_up(&self, context: &mut SslContextBuilder, offer: &Offer) {
        self.state().own.clone_from(&offer.own);
        let extension = offer.extension.clone();
        let (of_answer, of_keys) = (self.clone(), self.clone());
        let taken = context.add_custom_ext(
            EXTENSION,
            ExtensionContext::CLIENT_HELLO | ExtensionContext::TLS1_2_SERVER_HELLO,
            move |_, _, _| Ok(Some(extension.clone())),
            move |ssl, _, text, _| {
                let (length, id) = text.split_first().ok_or(SslAlert::DECODE_ERROR)?;
                assert_eq!(usize::from(*length), id.len(), "{text:02x?}");
                of_answer.state().peer = Some(id.to_vec());
                // Where a session is taken up again there are keys before the server's Finished comes.
                if ssl.session_reused() {
                    of_answer.learn(ssl);
                }
                Ok(())
            },
        );
        taken.expect("an extension that OpenSSL does not know");
        // Called when the keys are there, ahead of the Finished.
        context.set_keylog_callback(move |ssl, _| of_keys.learn(ssl));
    }

    /// Before another handshake.
    pub(crate) fn forget(&self) {
        let mut state = self.state();
        let own = std::mem::take(&mut state.own);
        *state = State {
            own,
            ..State::default()
        };
    }

    /// The ids in what comes and in what goes, if they were agreed upon.
    pub(crate) fn ids(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let state = self.state();
        Some((state.own.clone(), state.peer.clone()?))
    }

    /// From now on records go out without ids, or with them again.
    pub(crate) fn switch(&self, is_on: bool) {
        self.state().is_off = !is_on;
    }

    /// A record under the next number, with so many zeros behind it (RFC 9146 section 4).
    pub(crate) fn seal(&self, kind: u8, text: &[u8], zeros: usize) -> Vec<u8> {
        self.state().seal(kind, text, zeros)
    }

    /// The Finished once more, in another record.
    pub(crate) fn repeat_finished(&self) -> Vec<u8> {
        let mut state = self.state();
        let finished = state.finished.clone();
        assert_eq!(finished.first(), Some(&20), "{finished:02x?}");
        state.seal(HANDSHAKE, &finished, 0)
    }

    /// A datagram of OpenSSL, as it is to go out.
    pub(crate) fn outgoing(&self, datagram: &[u8]) -> Vec<u8> {
        let mut state = self.state();
        if state.is_off || state.peer.as_ref().is_none_or(Vec::is_empty) {
            return datagram.to_vec();
        }
        let mut out = Vec::new();
        for record in Record::all(datagram, 0) {
            if record.has_keys() {
                let [client, _] = state.keys.clone().expect("keys");
                let text = client.open(&record).expect("a record of our own");
                if record.kind() == HANDSHAKE {
                    state.finished.clone_from(&text);
                }
                out.extend(state.seal(record.kind(), &text, 0));
            } else {
                out.extend(record.bytes);
            }
        }
        out
    }

    /// A datagram of the server, as OpenSSL is to see it. What is not right is left out.
    pub(crate) fn incoming(&self, datagram: &[u8]) -> Vec<u8> {
        let state = self.state();
        if state.peer.is_none() || state.own.is_empty() {
            return datagram.to_vec();
        }
        let mut out = Vec::new();
        for record in Record::all(datagram, state.own.len()) {
            if !record.has_keys() {
                out.extend(record.bytes);
            } else if record.kind() == TLS12_CID && record.id == state.own {
                let [_, server] = state.keys.as_ref().expect("keys");
                let Ok(mut inner) = server.open(&record) else {
                    continue;
                };
                while inner.pop_if(|byte| *byte == 0).is_some() {}
                let kind = inner.pop().expect("a content type");
                out.extend(server.seal(&[], kind, record.sequence(), &inner));
            }
        }
        out
    }

    fn learn(&self, ssl: &SslRef) {
        let (mut master, mut randoms) = ([0; 48], [0; 64]);
        let session = ssl.session().expect("a session");
        assert_eq!(session.master_key(&mut master), master.len());
        let (server, client) = randoms.split_at_mut(32);
        ssl.server_random(server);
        ssl.client_random(client);
        // RFC 5246 section 6.3.
        let block = prf(&master, &[b"key expansion", &randoms[..]].concat(), 40);
        let key = |number: usize| Key {
            key: block[16 * number..][..16].try_into().expect("16 bytes"),
            salt: block[32 + 4 * number..][..4].try_into().expect("4 bytes"),
        };
        self.state().keys = Some([key(0), key(1)]);
    }
}

impl State {
    fn seal(&mut self, kind: u8, text: &[u8], zeros: usize) -> Vec<u8> {
        let id = self.peer.clone().expect("agreed upon");
        let [client, _] = self.keys.clone().expect("keys");
        // Epoch 1.
        let sequence = (1 << 48 | self.next).to_be_bytes();
        self.next += 1;
        let inner = [text, &[kind], &vec![0; zeros]].concat();
        client.seal(&id, TLS12_CID, sequence, &inner)
    }
}

impl Key {
    fn nonce(&self, explicit: &[u8]) -> Vec<u8> {
        [&self.salt, explicit].concat()
    }

    fn seal(&self, id: &[u8], kind: u8, sequence: [u8; 8], text: &[u8]) -> Vec<u8> {
        let beside = beside(id, kind, sequence, text.len());
        let mut context = CipherCtx::new().expect("memory");
        let mut sealed = Vec::new();
        let mut tag = [0; TAG];
        let mut run = || -> Result<(), ErrorStack> {
            context.encrypt_init(Some(Cipher::aes_128_ccm()), None, None)?;
            context.set_iv_length(12)?;
            context.set_tag_length(TAG)?;
            context.encrypt_init(None, Some(&self.key), Some(&self.nonce(&sequence)))?;
            context.set_data_len(text.len())?;
            context.cipher_update(&beside, None)?;
            context.cipher_update_vec(text, &mut sealed)?;
            context.cipher_final_vec(&mut sealed)?;
            context.tag(&mut tag)
        };
        run().expect("AES-128-CCM");
        let length = u16::try_from(8 + sealed.len() + TAG).expect("a short record");
        let head = [kind, 0xfe, 0xfd];
        let length = length.to_be_bytes();
        [&head[..], &sequence, id, &length, &sequence, &sealed, &tag].concat()
    }

    fn open(&self, record: &Record<'_>) -> Result<Vec<u8>, ErrorStack> {
        let (explicit, sealed) = record.body.split_at(8);
        let (text, tag) = sealed.split_at(sealed.len() - TAG);
        let beside = beside(record.id, record.kind(), record.sequence(), text.len());
        let mut context = CipherCtx::new()?;
        let mut opened = Vec::new();
        context.decrypt_init(Some(Cipher::aes_128_ccm()), None, None)?;
        context.set_iv_length(12)?;
        context.set_tag(tag)?;
        context.decrypt_init(None, Some(&self.key), Some(&self.nonce(explicit)))?;
        context.set_data_len(text.len())?;
        context.cipher_update(&beside, None)?;
        context.cipher_update_vec(text, &mut opened)?;
        Ok(opened)
    }
}

/// What is authenticated beside the text (RFC 5246 section 6.2.3.3, RFC 9146 section 5.3).
fn beside(id: &[u8], kind: u8, sequence: [u8; 8], text: usize) -> Vec<u8> {
    let length = u16::try_from(text).expect("a short record").to_be_bytes();
    if kind != TLS12_CID {
        return [&sequence[..], &[kind, 0xfe, 0xfd], &length].concat();
    }
    let id_length = u8::try_from(id.len()).expect("no longer id");
    let head = [TLS12_CID, id_length, TLS12_CID, 0xfe, 0xfd];
    [&[0xff; 8], &head[..], &sequence, id, &length].concat()
}

/// `P_SHA256` (RFC 5246 section 5).
fn prf(secret: &[u8], seed: &[u8], length: usize) -> Vec<u8> {
    let key = PKey::hmac(secret).expect("a key");
    let hmac = |text: &[u8]| {
        let mut signer = Signer::new(MessageDigest::sha256(), &key).expect("HMAC");
        signer.sign_oneshot_to_vec(text).expect("HMAC")
    };
    let (mut chain, mut out) = (hmac(seed), Vec::new());
    while out.len() < length {
        out.extend(hmac(&[&chain[..], seed].concat()));
        chain = hmac(&chain);
    }
    out.truncate(length);
    out
}

/// A record as it is on the wire.
struct Record<'a> {
    bytes: &'a [u8],
    id: &'a [u8],
    body: &'a [u8],
}

impl<'a> Record<'a> {
    /// Those of a datagram, in which ids have so many bytes.
    fn all(datagram: &'a [u8], id: usize) -> impl Iterator<Item = Self> {
        let mut rest = datagram;
        std::iter::from_fn(move || {
            let kind = rest.first()?;
            let body = HEAD + if *kind == TLS12_CID { id } else { 0 } + 2;
            let length = u16::from_be_bytes(rest.get(body - 2..body)?.try_into().ok()?);
            let (bytes, behind) = rest.split_at_checked(body + usize::from(length))?;
            rest = behind;
            Some(Self {
                bytes,
                id: &bytes[HEAD..body - 2],
                body: &bytes[body..],
            })
        })
    }

    fn kind(&self) -> u8 {
        self.bytes[0]
    }

    fn has_keys(&self) -> bool {
        self.bytes[3..5] != [0, 0]
    }

    /// Epoch and number.
    fn sequence(&self) -> [u8; 8] {
        self.bytes[3..HEAD].try_into().expect("8 bytes")
    }
}
