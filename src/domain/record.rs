//! What is remembered of a device: its registration, its observations and the answers it got.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::{EndpointId, EndpointName, ObservationId, RegistrationId, Token};
use super::path::Path;
use super::peer::Peer;
use super::time::Timestamp;

/// A version of the LwM2M enabler, as `lwm2m=` announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Lwm2mVersion {
    /// 1.0
    #[serde(rename = "1.0")]
    V1_0,
    /// 1.1
    #[serde(rename = "1.1")]
    V1_1,
    /// 1.2
    #[serde(rename = "1.2")]
    V1_2,
}

impl fmt::Display for Lwm2mVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        })
    }
}

impl FromStr for Lwm2mVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "1.0" => Ok(Self::V1_0),
            "1.1" => Ok(Self::V1_1),
            "1.2" => Ok(Self::V1_2),
            other => Err(format!(
                "LwM2M version `{other}` is not supported (1.0, 1.1 and 1.2 are)"
            )),
        }
    }
}

/// An object or object instance that a device announced.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AnnouncedObject {
    /// One or two levels.
    pub path: Path,
    /// The version of the object, where the device named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What people say of a device, registered or not. Kept until the device is forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// What it is called beside its name, sorted; see [`check_tag`](super::check_tag).
    pub tags: Vec<String>,
    /// How long it listens after a message of its own, in place of what is set for all and of what
    /// was learnt.
    pub awake: Option<Duration>,
    /// The length of its eDRX cycle: it can be reached at any time, but may take so long to answer
    /// (3GPP TS 24.008, extended DRX).
    pub edrx_cycle: Option<Duration>,
}

/// Something that a device does wrong and that was forgiven.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Warning {
    /// A short, stable name, for example `bad_link`.
    pub code: String,
    /// What was seen, in words.
    pub message: String,
}

/// A registration in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    /// The location that the device uses in Update and Deregister.
    pub id: RegistrationId,
    /// The device's row.
    pub endpoint_id: EndpointId,
    /// The device's name.
    pub endpoint: EndpointName,
    /// Where requests to it go.
    pub peer: Peer,
    /// The version of LwM2M that it speaks.
    pub lwm2m_version: Lwm2mVersion,
    /// The binding as announced, `U` when not.
    pub binding: String,
    /// True when it sleeps between its messages.
    pub queue_mode: bool,
    /// How long the registration lives after each Register or Update.
    pub lifetime: Duration,
    /// The telephone number for SMS, if announced.
    pub sms_number: Option<String>,
    /// The path in front of every LwM2M path on this device; empty or, for example, `/lwm2m`.
    pub root: String,
    /// What it announced, sorted by path. Devices of one kind announce the same and share it.
    pub objects: Arc<[AnnouncedObject]>,
    /// The content formats that it announced (`ct`), in its order.
    pub formats: Vec<u16>,
    /// Query parameters that LwM2M does not define.
    pub attributes: BTreeMap<String, String>,
    /// What was forgiven.
    pub warnings: Vec<Warning>,
    /// The object links as the device sent them, shared likewise.
    pub raw_links: Arc<str>,
    /// When it registered.
    pub registered_at: Timestamp,
    /// When it last registered or updated.
    pub updated_at: Timestamp,
    /// When it is taken as gone.
    pub expires_at: Timestamp,
    /// The first message id that was never handed out for this device, as far as the store knows;
    /// after a restart sending begins here.
    pub message_id_mark: u16,
}

impl Registration {
    /// True when the device announced this object, or this instance of it. An object that was
    /// announced without instances counts for each of them.
    pub fn announces(&self, path: &Path) -> bool {
        let instance = path.truncated(2);
        self.objects.iter().any(|announced| {
            announced.path.contains(&instance) || instance.contains(&announced.path)
        })
    }
}

/// Where an observation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObservationState {
    /// The request is about to be sent or on its way; notifications are taken already.
    Requested,
    /// The device confirmed it.
    Active,
}

/// An observation that a device was asked for. It lives as long as the registration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Its row.
    pub id: ObservationId,
    /// The device's row.
    pub endpoint_id: EndpointId,
    /// What its notifications carry; 8 random bytes.
    pub token: Token,
    /// What is observed: one path, or several for a composite.
    pub paths: Vec<Path>,
    /// True for Observe-Composite.
    pub composite: bool,
    /// The content format that was asked for.
    pub format: Option<u16>,
    /// Where it stands.
    pub state: ObservationState,
    /// The Observe value of the newest notification (RFC 7641 section 3.4).
    pub last_sequence: Option<u32>,
    /// Message id of the last notification that was stored, to know its copies after a restart.
    pub last_message_id: Option<u16>,
    /// Hash of that notification's bytes.
    pub last_hash: Option<i64>,
    /// When the newest notification came.
    pub notified_at: Option<Timestamp>,
    /// How many notifications were stored.
    pub notifications: u64,
    /// The first block of a notification whose rest is still to be fetched (RFC 7959 section 2.6).
    pub staged: Option<Vec<u8>>,
    /// When it was asked for.
    pub created_at: Timestamp,
}

impl Observation {
    /// One that the device is about to be asked for: of single paths, in whatever format.
    pub fn requested(
        id: ObservationId,
        endpoint_id: EndpointId,
        token: Token,
        paths: Vec<Path>,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            endpoint_id,
            token,
            paths,
            composite: false,
            format: None,
            state: ObservationState::Requested,
            last_sequence: None,
            last_message_id: None,
            last_hash: None,
            notified_at: None,
            notifications: 0,
            staged: None,
            created_at,
        }
    }
}

/// The answer to a confirmable request that changed something, kept to be repeated for copies of
/// the request (RFC 7252 section 4.2), restarts included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAnswer {
    /// Who asked.
    pub peer: Peer,
    /// The request's message id.
    pub message_id: u16,
    /// A hash of the request's bytes: the same id with other bytes is a new message.
    pub hash: i64,
    /// The datagram that went back.
    pub answer: Vec<u8>,
    /// Until when copies can arrive (`EXCHANGE_LIFETIME`).
    pub expires_at: Timestamp,
}
