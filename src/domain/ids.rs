//! Identifiers. Each kind is a type of its own, so that they cannot be mixed up.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name an LwM2M client gives itself (`ep`, OMA-TS-LightweightM2M Core 6.2.1), for example
/// `urn:imei:490154203237518`.
///
/// 1 to 255 bytes of UTF-8 without control characters. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointName(Arc<str>);

impl EndpointName {
    /// The longest accepted name, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Checks a name.
    ///
    /// # Errors
    /// Says why the name cannot be used.
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        if name.is_empty() {
            return Err(InvalidName::Empty);
        }
        if name.len() > Self::MAX_BYTES {
            return Err(InvalidName::TooLong { bytes: name.len() });
        }
        if name.chars().any(char::is_control) {
            return Err(InvalidName::ControlCharacter);
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for EndpointName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EndpointName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::new(&name).map_err(serde::de::Error::custom)
    }
}

/// Why a text is no endpoint name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing but control characters may be left out of a name.
    #[error("the endpoint name contains a control character")]
    ControlCharacter,
    /// The name has no characters.
    #[error("the endpoint name is empty")]
    Empty,
    /// The name is longer than [`EndpointName::MAX_BYTES`].
    #[error("the endpoint name has {bytes} bytes, at most 255 are allowed")]
    TooLong {
        /// Length of the refused name.
        bytes: usize,
    },
}

/// The location under `/rd/` that a Register was answered with: 128 random bits as 22 characters
/// of URL-safe base64, so that nobody can guess somebody else's. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistrationId(Arc<str>);

impl RegistrationId {
    /// Makes the id of 16 random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        Self(text.into())
    }

    /// An id as a peer or the database names it; any text, as only equality matters.
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for RegistrationId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RegistrationId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(String::deserialize(deserializer)?.into()))
    }
}

impl fmt::Display for RegistrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A table of things by an id that is of our making, in order or at random. Nobody else chooses what is in it,
/// so that its hash need not be hard to foresee.
pub type ById<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// The hash of [`ById`]: words are multiplied by an odd number and the halves folded.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for word in bytes.chunks(8) {
            let mut whole = [0; 8];
            if let Some(start) = whole.get_mut(..word.len()) {
                start.copy_from_slice(word);
            }
            self.write_u64(u64::from_ne_bytes(whole));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(byte.into());
    }

    fn write_u64(&mut self, word: u64) {
        let wide =
            u128::from(self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        self.0 = (wide as u64) ^ ((wide >> 64) as u64);
    }

    fn write_i64(&mut self, word: i64) {
        self.write_u64(word.cast_unsigned());
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A CoAP token (RFC 7252 section 5.3.1): 0 to 8 bytes. Ours are 8 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Token {
    len: u8,
    bytes: [u8; 8],
}

impl Token {
    /// The token of these bytes, or nothing when there are more than eight.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut token = Self {
            len: u8::try_from(bytes.len()).ok()?,
            bytes: [0; 8],
        };
        token.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(token)
    }

    /// The bytes on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

impl Hash for Token {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from_ne_bytes(self.bytes));
    }
}

impl From<[u8; 8]> for Token {
    fn from(bytes: [u8; 8]) -> Self {
        Self { len: 8, bytes }
    }
}

impl Serialize for Token {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_bytes().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        Self::new(&bytes).ok_or_else(|| serde::de::Error::custom("a token has at most eight bytes"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", hex::encode(self.as_bytes()))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}

macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

row_id! {
    /// What was asked of many devices at once; never used again.
    BulkId
}
row_id! {
    /// The row of a device's credential; never used again.
    CredentialId
}
row_id! {
    /// The row of an endpoint in the database; given once to each name and never reused.
    EndpointId
}
row_id! {
    /// The row of an event.
    EventId
}
row_id! {
    /// The row of a firmware image; never used again.
    FirmwareId
}
row_id! {
    /// The row of a firmware update of one device.
    FirmwareUpdateId
}
row_id! {
    /// The row of an observation.
    ObservationId
}
row_id! {
    /// The row of an operation; grows with the order of creation.
    OperationId
}
row_id! {
    /// The row of a rollout; never used again.
    RolloutId
}
row_id! {
    /// The row of a rule; never used again.
    RuleId
}
row_id! {
    /// The row of something that is wanted to be observed.
    WantedId
}
