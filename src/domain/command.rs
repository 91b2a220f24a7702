//! Operations: what people, templates and updates ask of a device, and what became of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::audit::Doer;
use super::idempotency::IdempotencyKey;
use super::identity::Unreachable;
use super::ids::{BulkId, EndpointId, EndpointName, FirmwareId, OperationId, Token};
use super::names::names;
use super::path::Path;
use super::time::Timestamp;
use super::value::Node;

/// What an operation does (OMA-TS-LightweightM2M Core 6.3 and 6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Ends an observation.
    CancelObserve,
    /// Ends a composite observation.
    CancelObserveComposite,
    /// Makes an object instance.
    Create,
    /// Removes an object instance.
    Delete,
    /// Lists what lies below a path, and the attributes set there.
    Discover,
    /// Runs a resource.
    Execute,
    /// Asks for notifications about a path.
    Observe,
    /// Asks for notifications about several paths at once.
    ObserveComposite,
    /// Reads a path.
    Read,
    /// Reads several paths at once.
    ReadComposite,
    /// Replaces what is at a path.
    Write,
    /// Sets notification attributes such as `pmin`.
    WriteAttributes,
    /// Writes several resources at once.
    WriteComposite,
    /// Changes what is given and keeps the rest.
    WriteUpdate,
}

names!(OperationKind, "kind of operation", {
    CancelObserve = "cancel_observe",
    CancelObserveComposite = "cancel_observe_composite",
    Create = "create",
    Delete = "delete",
    Discover = "discover",
    Execute = "execute",
    Observe = "observe",
    ObserveComposite = "observe_composite",
    Read = "read",
    ReadComposite = "read_composite",
    Write = "write",
    WriteAttributes = "write_attributes",
    WriteComposite = "write_composite",
    WriteUpdate = "write_update",
});

impl OperationKind {
    /// True when doing it twice does no more than doing it once, so that an attempt whose outcome
    /// is unknown may be repeated.
    pub fn is_repeatable(self) -> bool {
        !matches!(self, Self::Create | Self::Execute)
    }
}

/// The formats that the API names; the numbers are those of the CoAP Content-Formats registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentFormat {
    /// 60, RFC 8949
    Cbor,
    /// 11543, the JSON of LwM2M 1.0
    Json,
    /// 11544, LwM2M 1.2
    Lwm2mCbor,
    /// 42
    Opaque,
    /// 112, RFC 8428
    SenmlCbor,
    /// 322, RFC 8790: the requests of composites
    SenmlEtchCbor,
    /// 320, RFC 8790: the requests of composites
    SenmlEtchJson,
    /// 110, RFC 8428
    SenmlJson,
    /// 0
    Text,
    /// 11542, LwM2M 1.0
    Tlv,
}

impl ContentFormat {
    /// Every format, in alphabetical order.
    pub const ALL: [Self; 10] = [
        Self::Cbor,
        Self::Json,
        Self::Lwm2mCbor,
        Self::Opaque,
        Self::SenmlCbor,
        Self::SenmlEtchCbor,
        Self::SenmlEtchJson,
        Self::SenmlJson,
        Self::Text,
        Self::Tlv,
    ];

    /// The number in the CoAP Content-Formats registry.
    pub const fn code(self) -> u16 {
        match self {
            Self::Cbor => 60,
            Self::Json => 11_543,
            Self::Lwm2mCbor => 11_544,
            Self::Opaque => 42,
            Self::SenmlCbor => 112,
            Self::SenmlEtchCbor => 322,
            Self::SenmlEtchJson => 320,
            Self::SenmlJson => 110,
            Self::Text => 0,
            Self::Tlv => 11_542,
        }
    }

    /// The format with this number. 1542 and 1543, which old clients use for TLV and JSON, are
    /// understood too.
    pub fn from_code(code: u16) -> Option<Self> {
        match code {
            1542 => Some(Self::Tlv),
            1543 => Some(Self::Json),
            code => Self::ALL.into_iter().find(|format| format.code() == code),
        }
    }

    /// The name used in the API, for example `senml_cbor`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cbor => "cbor",
            Self::Json => "json",
            Self::Lwm2mCbor => "lwm2m_cbor",
            Self::Opaque => "opaque",
            Self::SenmlCbor => "senml_cbor",
            Self::SenmlEtchCbor => "senml_etch_cbor",
            Self::SenmlEtchJson => "senml_etch_json",
            Self::SenmlJson => "senml_json",
            Self::Text => "text",
            Self::Tlv => "tlv",
        }
    }

    /// True for the formats that only requests about several paths have (RFC 8790).
    pub fn is_etch(self) -> bool {
        matches!(self, Self::SenmlEtchCbor | Self::SenmlEtchJson)
    }

    /// The format of an answer to a request in this one: the same, or the SenML that belongs to it.
    #[must_use]
    pub fn of_answers(self) -> Self {
        match self {
            Self::SenmlEtchCbor => Self::SenmlCbor,
            Self::SenmlEtchJson => Self::SenmlJson,
            other => other,
        }
    }

    /// True for the formats that hold values of several objects.
    pub fn is_composite(self) -> bool {
        matches!(self, Self::Lwm2mCbor | Self::SenmlCbor | Self::SenmlJson) || self.is_etch()
    }
}

/// Who asked for an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by", content = "name")]
pub enum Origin {
    /// A person or program, by login or token name.
    User(String),
    /// An observation template, on registration.
    Template,
    /// A firmware update.
    Firmware,
    /// A person or program, of many devices at once.
    Bulk(BulkId, String),
}

impl Origin {
    /// Who asked: a login or `token:NAME`, also where it was asked of many; `template` or `firmware`.
    pub fn asked_by(&self) -> &str {
        match self {
            Self::Bulk(_, name) | Self::User(name) => name,
            Self::Template => "template",
            Self::Firmware => "firmware",
        }
    }
}

/// What is to be done: checked against the object model, ready to be encoded.
///
/// Stored as JSON with the operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationRequest {
    /// What to do.
    pub kind: OperationKind,
    /// Where: one path, or several for the composite kinds; never empty.
    pub paths: Vec<Path>,
    /// What to write or create; empty for the other kinds.
    pub values: Vec<Node>,
    /// Resource instances that a Write-Composite removes, since LwM2M 1.2; empty for other kinds.
    pub removed: Vec<Path>,
    /// The arguments of an Execute, as they go over the air.
    pub arguments: Option<String>,
    /// Notification attributes to set (`pmin=5`) or, without a value, to remove.
    pub attributes: Vec<(String, Option<String>)>,
    /// The format to use, or the server's choice.
    pub format: Option<ContentFormat>,
    /// The end of an observation without a word to the device: its next notification is answered
    /// with a Reset (RFC 7641 section 3.6).
    pub passive: bool,
    /// Asked to be sent again also when it may have been done already (Execute and Create, whose
    /// outcome is unknown when no answer comes).
    pub repeat: bool,
    /// The image that a Write of 5/0/0 takes to the device, block by block, instead of values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<FirmwareId>,
}

impl OperationRequest {
    /// An operation without values, arguments and wishes.
    pub fn new(kind: OperationKind, paths: Vec<Path>) -> Self {
        Self {
            kind,
            paths,
            values: Vec::new(),
            removed: Vec::new(),
            arguments: None,
            attributes: Vec::new(),
            format: None,
            passive: false,
            repeat: false,
            image: None,
        }
    }

    /// True when an attempt whose outcome is unknown may be followed by another.
    pub fn may_be_repeated(&self) -> bool {
        self.repeat || self.kind.is_repeatable()
    }
}

/// An operation that is about to be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct NewOperation {
    /// What is to be done.
    pub request: OperationRequest,
    /// Who asked.
    pub origin: Origin,
    /// After which time it is given up as EXPIRED; none keeps it for ever.
    pub expires_in: Option<Duration>,
    /// How often it is tried.
    pub max_attempts: u32,
    /// Whom the audit log names, in the same commit; nobody for what the server asks by itself.
    pub by: Option<Doer>,
    /// Where it was asked for so that asking again makes no other.
    pub key: Option<IdempotencyKey>,
}

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OperationStatus {
    /// Taken back before it was sent.
    Cancelled,
    /// The device did it.
    Confirmed,
    /// Its time ran out before the device could be reached.
    Expired,
    /// The device refused it, or it was tried too often.
    Failed,
    /// Waits for the device.
    Queued,
    /// On its way.
    Sending,
}

names!(OperationStatus, "status of an operation", {
    Cancelled = "CANCELLED",
    Confirmed = "CONFIRMED",
    Expired = "EXPIRED",
    Failed = "FAILED",
    Queued = "QUEUED",
    Sending = "SENDING",
});

impl OperationStatus {
    /// True when nothing more will happen.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Sending)
    }
}

/// What the device answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationResult {
    /// The CoAP response code, for example `2.05`; `0.00` when the device was not asked.
    pub code: String,
    /// The values that came with it.
    pub nodes: Vec<Node>,
    /// What a Discover found, in link format (RFC 6690); empty otherwise.
    pub links: String,
    /// Where a Create put the new instance, if the device said so.
    pub location: Option<String>,
    /// What this server did without asking the device, in words.
    pub note: Option<String>,
}

/// An operation with its state, as it is stored and shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Its row.
    pub id: OperationId,
    /// The device it is for.
    pub endpoint_id: EndpointId,
    /// The device's name.
    pub endpoint: EndpointName,
    /// What is to be done.
    pub request: OperationRequest,
    /// Who asked.
    pub origin: Origin,
    /// Where it stands.
    pub status: OperationStatus,
    /// How often it was sent and counted.
    pub attempts: u32,
    /// How often it may be sent.
    pub max_attempts: u32,
    /// What the device answered, refusals included.
    pub result: Option<OperationResult>,
    /// Why it failed, in words.
    pub error: Option<String>,
    /// The token of the last attempt; an answer to it counts, a restart between them included.
    pub token: Option<Token>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was last sent.
    pub last_attempt_at: Option<Timestamp>,
    /// When it reached its final status.
    pub finished_at: Option<Timestamp>,
    /// When it is given up.
    pub expires_at: Option<Timestamp>,
}

/// Why an attempt did not bring an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperationFailure {
    /// No acknowledgement after every retransmission.
    #[error("the device did not acknowledge the request")]
    NotAcknowledged,
    /// Acknowledged, but then no response in time.
    #[error("the device acknowledged the request but did not answer it in time")]
    NotAnswered,
    /// Something came back, but not with the token of the request.
    #[error("the device answered with a token that was not asked with")]
    WrongToken,
    /// The device sent a Reset.
    #[error("the device rejected the message with a Reset")]
    Reset,
    /// The DTLS session that it was sent in ended.
    #[error("the DTLS session with the device ended before it answered")]
    Disconnected,
    /// It could not even be sent.
    #[error("the device cannot be reached: {0}")]
    Unreachable(Unreachable),
    /// The device registered anew while the answer was awaited.
    #[error("the device registered again before it answered")]
    Reregistered,
    /// An attempt of a kind that must not be repeated went out and nothing came back.
    #[error(
        "outcome unknown: it was sent, but no answer came back, and repeating it could do it twice"
    )]
    OutcomeUnknown,
    /// The response's body grew over the limit.
    #[error("the answer is larger than the configured limit")]
    TooLarge,
    /// A blockwise transfer broke off or changed midway.
    #[error("the blockwise transfer of the answer broke off")]
    Blockwise,
}
