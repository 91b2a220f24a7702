//! The words that every room shares: names, paths, values, times and records.
//!
//! This room depends on nothing of ours and does no I/O. A value that exists is valid: constructors
//! and parsers refuse what the rest of the system must never see.

mod audit;
mod bulk;
mod command;
mod denial;
mod event;
mod firmware;
mod gateway;
mod idempotency;
mod identity;
mod ids;
mod learned;
mod log;
mod names;
mod path;
mod pattern;
mod peer;
mod profile;
mod record;
mod refused;
mod rollout;
mod rollout_spec;
mod rule;
mod secure_session;
mod selection;
mod time;
mod traffic;
mod update_facts;
mod value;
mod wanted;
mod window;
mod words;

pub use audit::{AuditEntry, Doer};
pub use bulk::{BulkAction, BulkCounts, BulkItem, BulkItemState, BulkOperation, BulkState};
pub use command::{
    ContentFormat, NewOperation, Operation, OperationFailure, OperationKind, OperationRequest,
    OperationResult, OperationStatus, Origin,
};
pub use denial::{Denial, Denied, Shown};
pub use event::{
    LiveBody, LiveEvent, LiveKind, LiveNews, LiveObservation, LiveOperation, LiveRegistration,
    LiveUpdate, Topic,
};
pub use firmware::{
    DeviceSays, FirmwareImage, FirmwareUpdate, ImageBytes, NewUpdate, Progress, UpdateLimits,
    UpdateMethod, UpdatePhase, UpdateResult, UpdateState, UpdateStep,
};
pub use gateway::{GatewayReport, GatewayState, REGISTRATION_EVENTS, RegistrationEvent};
pub use idempotency::{IdempotencyKey, KeptKey, KeyedOperation};
pub use identity::{CredentialKind, Identity, Reach, Unreachable};
pub use ids::{
    BulkId, ById, CredentialId, EndpointId, EndpointName, EventId, FirmwareId, FirmwareUpdateId,
    IdHasher, InvalidName, ObservationId, OperationId, RegistrationId, RolloutId, RuleId, Token,
    WantedId,
};
pub use learned::{Learned, LearntWindow, NextWake, WakeBasis};
pub use log::{LogLevel, LogLine, LogResource, StoredLogLine};
pub use path::{InvalidPath, Path};
pub use pattern::PathPattern;
pub use peer::{Peer, Place, SessionId, Transport, unmapped};
pub use profile::{ProfileChange, check_awake, check_edrx_cycle, check_tags};
pub use record::{
    AnnouncedObject, Lwm2mVersion, Observation, ObservationState, Profile, Registration,
    StoredAnswer, Warning,
};
pub use refused::RefusedFormats;
pub use rollout::{
    GroupRun, GroupState, Rollout, RolloutLine, RolloutState, RolloutStep, RolloutTarget,
    TargetCounts, TargetStatus,
};
#[cfg(test)]
pub(crate) use rollout_spec::tests as rollout_samples;
pub use rollout_spec::{GroupSize, GroupSpec, InvalidRollout, OnError, RolloutSpec};
pub use rule::{
    Condition, InvalidRule, Phase, Rule, RuleEvent, RuleSpec, RuleState, Severity, Side, Threshold,
};
pub use secure_session::{KeptSession, ReceiveWindow, SessionMark};
pub use selection::{Selection, check_tag};
pub use time::{Now, Timestamp};
pub use traffic::{Day, DayTraffic, Traffic, TrafficKind};
pub use update_facts::{ProgressFacts, StepFacts, UpdateFacts};
pub use value::{InvalidValue, Node, ObjectLink, Value, ValueType};
pub use wanted::{Periods, TemplateVersion, Wanted, WantedState, same_paths};
pub use window::{DailyWindow, Opening, WindowText};
pub use words::{count, span};

pub(crate) use names::names;
