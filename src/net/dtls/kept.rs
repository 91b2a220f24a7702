//! Sessions at rest: what the server needs to go on with one after a restart, sealed by a key that is kept
//! beside the database and not in it.

use ciborium::Value;
use futures_util::future::BoxFuture;
use zeroize::Zeroizing;

use super::aead::{Aead, Secret};
use super::cid::Cid;
use super::record::{Numbers, RecordLayer};
use super::window::Window;
use crate::domain::{CredentialId, CredentialKind, EndpointName, Identity, KeptSession, SessionId};
use crate::security::Sealer;

/// Where sessions are kept.
pub trait Keeper {
    /// Keeps a session as it is now, in the place of what was kept of it. It takes its place behind all that
    /// was asked for before at once; true when it is on disk.
    fn keep(&self, session: KeptSession) -> BoxFuture<'static, bool>;

    /// Forgets a session.
    fn forget(&self, id: SessionId);
}

/// Puts the part of a session that never changes into its sealed form, and reads it.
pub(super) struct Safe(Sealer);

impl Safe {
    pub(super) fn new(key: Zeroizing<[u8; SESSION_KEY]>) -> Self {
        Self(Sealer::new(key))
    }

    /// Nothing when it cannot be sealed, or is too long to be kept.
    pub(super) fn seal(
        &self,
        id: SessionId,
        layer: &RecordLayer,
        identity: &Identity,
    ) -> Option<Vec<u8>> {
        let mut text = Zeroizing::new(Vec::new());
        ciborium::into_writer(&written(layer, identity), &mut *text).ok()?;
        if text.len() > LONGEST {
            return None;
        }
        self.0.seal(&bound_to(id), &text).ok()
    }

    /// The layer knows of no number that it may use, and of none that has come.
    pub(super) fn open(&self, id: SessionId, sealed: &[u8]) -> Option<(RecordLayer, Identity)> {
        let text = self.0.open(&bound_to(id), sealed)?;
        let mut text = text.as_slice();
        let value = ciborium::from_reader(&mut text).ok()?;
        text.is_empty().then(|| read(value)).flatten()
    }
}

fn written(layer: &RecordLayer, identity: &Identity) -> Value {
    let RecordLayer {
        aead,
        inbound,
        outbound,
        own,
        peer,
        ..
    } = layer;
    let Identity {
        endpoint,
        others,
        kind,
        credential,
        label,
        anchor,
    } = identity;
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    let used = |bytes: &[u8], length| bytes.get(..length).map_or(Value::Null, bytes_of);
    let secret = |secret: &Secret| {
        [
            used(&secret.key, aead.key()),
            used(&secret.fixed, aead.fixed()),
        ]
    };
    let [[key_in, fixed_in], [key_out, fixed_out]] = [secret(inbound), secret(outbound)];
    let name = |name: &EndpointName| Value::Text(name.as_str().to_owned());
    Value::Array(vec![
        VERSION.into(),
        (*aead as u8).into(),
        key_in,
        fixed_in,
        key_out,
        fixed_out,
        bytes(own.as_bytes()),
        bytes(peer.as_bytes()),
        name(endpoint),
        Value::Array(others.iter().map(name).collect()),
        Value::Text(kind.name().to_owned()),
        credential.map_or(Value::Null, |id| id.0.into()),
        Value::Text(label.clone()),
        anchor.map_or(Value::Null, |anchor| bytes(&anchor)),
    ])
}

fn bytes_of(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.to_vec())
}

fn read(value: Value) -> Option<(RecordLayer, Identity)> {
    let fields: [Value; 14] = value.into_array().ok()?.try_into().ok()?;
    let [
        version,
        aead,
        key_in,
        fixed_in,
        key_out,
        fixed_out,
        own,
        peer,
        endpoint,
        others,
        kind,
        credential,
        label,
        anchor,
    ] = fields;
    if version != VERSION.into() {
        return None;
    }
    let aead = Aead::ALL
        .into_iter()
        .find(|known| Value::from(*known as u8) == aead)?;
    let secret = |key: Value, fixed: Value| {
        let (key, fixed) = (
            Zeroizing::new(key.into_bytes().ok()?),
            fixed.into_bytes().ok()?,
        );
        let mut secret = Secret::default();
        let is_right = key.len() == aead.key() && fixed.len() == aead.fixed();
        secret.key.get_mut(..key.len())?.copy_from_slice(&key);
        secret.fixed.get_mut(..fixed.len())?.copy_from_slice(&fixed);
        is_right.then_some(secret)
    };
    let layer = RecordLayer {
        aead,
        inbound: secret(key_in, fixed_in)?,
        outbound: secret(key_out, fixed_out)?,
        window: Window::default(),
        numbers: Numbers { next: 0, end: 0 },
        own: Cid::new(&own.into_bytes().ok()?)?,
        peer: Cid::new(&peer.into_bytes().ok()?)?,
    };
    let name = |value: Value| EndpointName::new(&value.into_text().ok()?).ok();
    let others = others.into_array().ok()?.into_iter().map(name);
    let identity = Identity {
        endpoint: name(endpoint)?,
        others: others.collect::<Option<Vec<_>>>()?,
        kind: kind.into_text().ok()?.parse::<CredentialKind>().ok()?,
        credential: match credential {
            Value::Null => None,
            id => Some(CredentialId(id.into_integer().ok()?.try_into().ok()?)),
        },
        label: label.into_text().ok()?,
        anchor: match anchor {
            Value::Null => None,
            anchor => Some(anchor.into_bytes().ok()?.try_into().ok()?),
        },
    };
    Some((layer, identity))
}

/// What is authenticated with a session.
fn bound_to(id: SessionId) -> Vec<u8> {
    [&b"flownexus dtls session"[..], &id.0.to_be_bytes()].concat()
}

/// Bytes of the key that seals sessions.
pub const SESSION_KEY: usize = 32;
/// A session whose device has more to its name is not kept.
const LONGEST: usize = 4096;
const VERSION: u8 = 1;
