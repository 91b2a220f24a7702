//! What the live socket tells: facts that are on disk already.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::ids::EndpointName;
use super::time::Timestamp;

/// What a live message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveKind {
    /// A device went away in order.
    Deregistered,
    /// An event was stored.
    Event,
    /// A lifetime ran out.
    Expired,
    /// A firmware update moved on.
    FirmwareUpdate,
    /// A line of a device's log.
    Log,
    /// What is wanted to be observed changed its state: `paths`, `state`, `reason`, `wanted`.
    Observation,
    /// An operation changed its state.
    Operation,
    /// People say something else of a device: `tags`, `awake_s`, `edrx_cycle_s`.
    Profile,
    /// A device registered.
    Registered,
    /// A value arrived: `path`, `type`, `value` and `time`.
    Resource,
    /// A device updated its registration.
    Updated,
}

/// What a client of the live socket can ask for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Every device.
    Fleet,
    /// One device.
    Endpoint(EndpointName),
}

impl Topic {
    /// Reads `fleet` or `endpoint:NAME`.
    ///
    /// # Errors
    /// Names the text that is no topic.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "fleet" => Ok(Self::Fleet),
            Some(("endpoint", name)) => EndpointName::new(name)
                .map(Self::Endpoint)
                .map_err(|error| error.to_string()),
            _ => Err(format!(
                "`{text}` is no topic (`fleet` and `endpoint:NAME` are)"
            )),
        }
    }
}

impl std::fmt::Display for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fleet => f.write_str("fleet"),
            Self::Endpoint(name) => write!(f, "endpoint:{name}"),
        }
    }
}

/// One fact, before the hub gives it its sequence number.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveEvent {
    /// The device it is about.
    pub endpoint: EndpointName,
    /// What happened.
    pub kind: LiveKind,
    /// When it happened.
    pub time: Timestamp,
    /// The fields of this kind, an object.
    pub body: Json,
}
