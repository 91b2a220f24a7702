//! Registrations, observations, operations and answers as rows, and back.

use std::borrow::Cow;
use std::str::FromStr;
use std::time::Duration;

use flownexus_entity::{
    endpoint, endpoint_operation, observation, registration, wanted_observation,
};
use sea_orm::Value as Bind;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::forgiven::Forgiven;
use super::values::{node_from_json, node_to_json};
use super::{Notified, StoreError};
use crate::domain::{
    ContentFormat, EndpointId, EndpointName, GatewayState, Learned, Node, Observation,
    ObservationId, ObservationState, Operation, OperationId, OperationRequest, OperationResult,
    Path, Peer, Profile, Registration, RegistrationId, SessionId, StoredAnswer, TemplateVersion,
    Timestamp, Token, Wanted, WantedId,
};

/// A text as both databases can hold it: PostgreSQL has no NUL in texts, so it becomes U+FFFD, and
/// it does so on SQLite too.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

pub(super) fn millis(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_millis)
}

pub(super) fn time(millis: i64) -> Timestamp {
    Timestamp::clamped_from_millis(millis)
}

pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Database(error.to_string()))
}

/// A value that is kept as JSON.
pub(super) fn from_json<T: DeserializeOwned>(
    what: &'static str,
    json: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(|error| corrupt(what, error))
}

/// What was learnt of a device. It can be learnt again, so what cannot be read is as good as
/// nothing.
pub(super) fn learned(json: Option<&str>) -> Learned {
    json.and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default()
}

pub(super) fn corrupt(what: &'static str, why: impl ToString) -> StoreError {
    StoreError::Corrupt {
        what,
        why: why.to_string(),
    }
}

pub(super) fn parse<T: FromStr<Err: ToString>>(
    what: &'static str,
    text: &str,
) -> Result<T, StoreError> {
    text.parse().map_err(|error: T::Err| corrupt(what, error))
}

pub(super) fn name(name: &str) -> Result<EndpointName, StoreError> {
    EndpointName::new(name).map_err(|error| corrupt("endpoint", error))
}

/// The columns `transport` and `address`.
pub(super) fn peer_columns(peer: Peer) -> [String; 2] {
    let transport = match peer.session {
        None => "udp".to_owned(),
        Some(SessionId(session)) => format!("{DTLS}{session:016x}"),
    };
    [transport, peer.address.to_string()]
}

pub(super) fn peer(what: &'static str, transport: &str, address: &str) -> Result<Peer, StoreError> {
    let address = parse(what, address)?;
    if transport == "udp" {
        return Ok(Peer::udp(address));
    }
    let session = transport
        .strip_prefix(DTLS)
        .and_then(|session| u64::from_str_radix(session, 16).ok())
        .ok_or_else(|| corrupt(what, format!("`{transport}` is no transport")))?;
    Ok(Peer::dtls(address, SessionId(session)))
}

/// What stands before the session in the column `transport`.
const DTLS: &str = "dtls:";

/// The columns of `endpoint` about a gateway, in the order of the table.
pub(super) fn gateway_columns(state: &GatewayState) -> Result<[Bind; 3], StoreError> {
    let warnings = (!state.warnings.is_empty())
        .then(|| to_json(&state.warnings))
        .transpose()?;
    Ok([
        millis(state.registered_at).into(),
        millis(state.unregistered_at).into(),
        warnings.into(),
    ])
}

/// What is remembered of a gateway.
pub(super) fn gateway(row: &endpoint::Model) -> Result<GatewayState, StoreError> {
    Ok(GatewayState {
        registered_at: row.gateway_registered_at.map(time),
        unregistered_at: row.gateway_unregistered_at.map(time),
        warnings: match &row.gateway_warnings {
            Some(warnings) => from_json("endpoint", warnings)?,
            None => Vec::new(),
        },
    })
}

/// The columns of `registration`, in the order of the table.
pub(super) fn registration_row(
    registration: &Registration,
    row: &mut Vec<Bind>,
) -> Result<(), StoreError> {
    let [transport, address] = peer_columns(registration.peer);
    let lifetime = i64::try_from(registration.lifetime.as_millis()).unwrap_or(i64::MAX);
    row.extend([
        registration.endpoint_id.0.into(),
        text(registration.id.as_str()).into_owned().into(),
        transport.into(),
        address.into(),
        registration.lwm2m_version.to_string().into(),
        text(&registration.binding).into_owned().into(),
        registration.queue_mode.into(),
        lifetime.into(),
        registration
            .sms_number
            .as_deref()
            .map(|number| text(number).into_owned())
            .into(),
        text(&registration.root).into_owned().into(),
        to_json(&*registration.objects)?.into(),
        to_json(&registration.formats)?.into(),
        to_json(&registration.attributes)?.into(),
        to_json(&registration.warnings)?.into(),
        text(&registration.raw_links).into_owned().into(),
        registration.registered_at.as_millis().into(),
        registration.updated_at.as_millis().into(),
        registration.expires_at.as_millis().into(),
        i32::from(registration.message_id_mark).into(),
    ]);
    Ok(())
}

pub(super) fn registration(
    row: registration::Model,
    endpoint: EndpointName,
    forgiven: Forgiven,
) -> Result<Registration, StoreError> {
    const WHAT: &str = "registration";
    Ok(Registration {
        id: RegistrationId::from_text(&row.location),
        endpoint_id: EndpointId(row.endpoint_id),
        endpoint,
        peer: peer(WHAT, &row.transport, &row.address)?,
        lwm2m_version: parse(WHAT, &row.lwm2m_version)?,
        binding: row.binding,
        queue_mode: row.queue_mode,
        lifetime: Duration::from_millis(row.lifetime_ms.try_into().unwrap_or(0)),
        sms_number: row.sms_number,
        root: row.root,
        objects: from_json::<Vec<_>>(WHAT, &row.objects)?.into(),
        formats: from_json(WHAT, &row.formats)?,
        attributes: from_json(WHAT, &row.attributes)?,
        warnings: from_json(WHAT, &row.warnings)?,
        raw_links: row.raw_links.into(),
        registered_at: time(row.registered_at),
        updated_at: time(row.updated_at),
        expires_at: forgiven.time(row.expires_at),
        message_id_mark: narrow(WHAT, row.message_id_mark)?,
    })
}

/// The columns of `observation`, in the order of the table.
pub(super) fn observation_row(
    observation: &Observation,
    row: &mut Vec<Bind>,
) -> Result<(), StoreError> {
    let state = match observation.state {
        ObservationState::Requested => "requested",
        ObservationState::Active => "active",
    };
    row.extend([
        observation.id.0.into(),
        observation.endpoint_id.0.into(),
        observation.token.as_bytes().to_vec().into(),
        to_json(&observation.paths)?.into(),
        observation.composite.into(),
        observation.format.map(i32::from).into(),
        state.into(),
        observation.last_sequence.map(i64::from).into(),
        observation.last_message_id.map(i32::from).into(),
        observation.last_hash.into(),
        millis(observation.notified_at).into(),
        observation.staged.clone().into(),
        observation.created_at.as_millis().into(),
        i64::try_from(observation.notifications)
            .unwrap_or(i64::MAX)
            .into(),
    ]);
    Ok(())
}

pub(super) fn notified_row(notified: &Notified) -> [Bind; 6] {
    [
        notified.id.0.into(),
        notified.last_sequence.map(i64::from).into(),
        notified.last_message_id.map(i32::from).into(),
        notified.last_hash.into(),
        millis(notified.notified_at).into(),
        i64::try_from(notified.notifications)
            .unwrap_or(i64::MAX)
            .into(),
    ]
}

pub(super) fn observation(row: observation::Model) -> Result<Observation, StoreError> {
    const WHAT: &str = "observation";
    Ok(Observation {
        id: ObservationId(row.id),
        endpoint_id: EndpointId(row.endpoint_id),
        token: token(WHAT, &row.token)?,
        paths: from_json(WHAT, &row.paths)?,
        composite: row.composite,
        format: row.format.map(|format| narrow(WHAT, format)).transpose()?,
        state: match row.state.as_str() {
            "requested" => ObservationState::Requested,
            "active" => ObservationState::Active,
            other => return Err(corrupt(WHAT, format!("`{other}` is no state"))),
        },
        last_sequence: row
            .last_sequence
            .map(|number| narrow(WHAT, number))
            .transpose()?,
        last_message_id: row
            .last_message_id
            .map(|number| narrow(WHAT, number))
            .transpose()?,
        last_hash: row.last_hash,
        notified_at: row.notified_at.map(time),
        notifications: u64::try_from(row.notifications).unwrap_or(0),
        staged: row.staged,
        created_at: time(row.created_at),
    })
}

/// The columns of `wanted_observation`, in the order of the table.
pub(super) fn wanted_row(wanted: &Wanted, row: &mut Vec<Bind>) -> Result<(), StoreError> {
    let named = |name: &Option<String>| name.as_deref().map(|name| text(name).into_owned());
    row.extend([
        wanted.id.0.into(),
        wanted.endpoint_id.0.into(),
        to_json(&wanted.paths)?.into(),
        wanted.composite.into(),
        wanted.template.map(|template| template.id).into(),
        wanted.template.map(|template| template.revision).into(),
        named(&wanted.user).into(),
        named(&wanted.cancelled_by).into(),
        to_json(&wanted.attributes)?.into(),
        to_json(&wanted.withdrawn)?.into(),
        wanted.attributes_asked.into(),
        named(&wanted.attributes_error).into(),
        wanted.format.map(|format| format.name().to_owned()).into(),
        wanted.state.name().into(),
        named(&wanted.reason).into(),
        wanted.since.as_millis().into(),
        millis(wanted.retry_at).into(),
        i64::from(wanted.losses).into(),
    ]);
    Ok(())
}

pub(super) fn wanted(row: wanted_observation::Model) -> Result<Wanted, StoreError> {
    const WHAT: &str = "wanted observation";
    let template = row.template_id.zip(row.template_revision);
    Ok(Wanted {
        id: WantedId(row.id),
        endpoint_id: EndpointId(row.endpoint_id),
        paths: from_json(WHAT, &row.paths)?,
        composite: row.composite,
        template: template.map(|(id, revision)| TemplateVersion { id, revision }),
        user: row.user_name,
        cancelled_by: row.cancelled_by,
        attributes: from_json(WHAT, &row.attributes)?,
        withdrawn: from_json(WHAT, &row.withdrawn)?,
        attributes_asked: row.attributes_asked,
        attributes_error: row.attributes_error,
        format: format(WHAT, row.format.as_deref())?,
        state: parse(WHAT, &row.state)?,
        reason: row.reason,
        since: time(row.since),
        retry_at: row.retry_at.map(time),
        losses: narrow(WHAT, row.losses)?,
    })
}

/// A content format by its name.
pub(super) fn format(
    what: &'static str,
    name: Option<&str>,
) -> Result<Option<ContentFormat>, StoreError> {
    name.map(|name| {
        ContentFormat::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| corrupt(what, format!("`{name}` is no format")))
    })
    .transpose()
}

/// A device, tags, awake window, eDRX cycle.
pub(super) fn profile_row(
    endpoint: EndpointId,
    profile: &Profile,
    row: &mut Vec<Bind>,
) -> Result<(), StoreError> {
    let seconds =
        |time: Option<Duration>| time.map(|time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    row.extend([
        endpoint.0.into(),
        to_json(&profile.tags)?.into(),
        seconds(profile.awake).into(),
        seconds(profile.edrx_cycle).into(),
    ]);
    Ok(())
}

pub(super) fn profile(row: &endpoint::Model) -> Result<Profile, StoreError> {
    let seconds = |time: Option<i64>| {
        time.and_then(|seconds| u64::try_from(seconds).ok())
            .map(Duration::from_secs)
    };
    Ok(Profile {
        tags: from_json("endpoint", &row.tags)?,
        awake: seconds(row.awake_s),
        edrx_cycle: seconds(row.edrx_cycle_s),
    })
}

/// The columns of `endpoint_operation`, in the order of the table.
pub(super) fn operation_row(operation: &Operation, row: &mut Vec<Bind>) -> Result<(), StoreError> {
    let result = operation.result.as_ref().map(result_to_json);
    row.extend([
        operation.id.0.into(),
        operation.endpoint_id.0.into(),
        operation.request.kind.name().into(),
        request_to_json(&operation.request).to_string().into(),
        to_json(&operation.origin)?.into(),
        operation.status.name().into(),
        i64::from(operation.attempts).into(),
        i64::from(operation.max_attempts).into(),
        result.map(|json| json.to_string()).into(),
        operation
            .error
            .as_deref()
            .map(|error| text(error).into_owned())
            .into(),
        operation
            .token
            .map(|token| token.as_bytes().to_vec())
            .into(),
        operation.created_at.as_millis().into(),
        millis(operation.last_attempt_at).into(),
        millis(operation.finished_at).into(),
        millis(operation.expires_at).into(),
    ]);
    Ok(())
}

pub(super) fn operation(
    row: endpoint_operation::Model,
    endpoint: EndpointName,
) -> Result<Operation, StoreError> {
    const WHAT: &str = "operation";
    let request: Json = from_json(WHAT, &row.request)?;
    let result: Option<Json> = row
        .result
        .map(|result| from_json(WHAT, &result))
        .transpose()?;
    Ok(Operation {
        id: OperationId(row.id),
        endpoint_id: EndpointId(row.endpoint_id),
        endpoint,
        request: request_from_json(&request).map_err(|why| corrupt(WHAT, why))?,
        origin: from_json(WHAT, &row.origin)?,
        status: parse(WHAT, &row.status)?,
        attempts: narrow(WHAT, row.attempts)?,
        max_attempts: narrow(WHAT, row.max_attempts)?,
        result: result
            .map(|result| result_from_json(&result))
            .transpose()
            .map_err(|why| corrupt(WHAT, why))?,
        error: row.error,
        token: row.token.map(|bytes| token(WHAT, &bytes)).transpose()?,
        created_at: time(row.created_at),
        last_attempt_at: row.last_attempt_at.map(time),
        finished_at: row.finished_at.map(time),
        expires_at: row.expires_at.map(time),
    })
}

/// The columns of `stored_answer`, in the order of the table.
pub(super) fn answer_row(answer: &StoredAnswer, row: &mut Vec<Bind>) {
    let [transport, address] = peer_columns(answer.peer);
    row.extend([
        transport.into(),
        address.into(),
        i32::from(answer.message_id).into(),
        answer.hash.into(),
        answer.answer.clone().into(),
        answer.expires_at.as_millis().into(),
    ]);
}

pub(super) fn token(what: &'static str, bytes: &[u8]) -> Result<Token, StoreError> {
    Token::new(bytes).ok_or_else(|| corrupt(what, "a token has more than 8 bytes"))
}

/// A number of the database in a smaller type.
pub(super) fn narrow<T: Copy + ToString, N: TryFrom<T>>(
    what: &'static str,
    number: T,
) -> Result<N, StoreError> {
    N::try_from(number)
        .map_err(|_| corrupt(what, format!("{} is out of its range", number.to_string())))
}

pub(super) fn request_to_json(request: &OperationRequest) -> Json {
    let mut json = json!({
        "kind": request.kind,
        "paths": request.paths,
        "values": nodes_to_json(&request.values),
        "removed": request.removed,
        "arguments": request.arguments,
        "attributes": request.attributes,
        "format": request.format,
        "passive": request.passive,
        "repeat": request.repeat,
    });
    // Few have one.
    if let Some(image) = request.image
        && let Some(fields) = json.as_object_mut()
    {
        fields.insert("image".to_owned(), image.0.into());
    }
    json
}

pub(super) fn request_from_json(json: &Json) -> Result<OperationRequest, String> {
    Ok(OperationRequest {
        kind: field(json, "kind")?,
        paths: field(json, "paths")?,
        values: nodes_from_json(json.get("values"))?,
        removed: field::<Option<Vec<Path>>>(json, "removed")?.unwrap_or_default(),
        arguments: field(json, "arguments")?,
        attributes: field(json, "attributes")?,
        format: field(json, "format")?,
        // Rows of earlier versions have none of these.
        passive: field::<Option<bool>>(json, "passive")?.unwrap_or_default(),
        repeat: field::<Option<bool>>(json, "repeat")?.unwrap_or_default(),
        image: field(json, "image")?,
    })
}

fn result_to_json(result: &OperationResult) -> Json {
    json!({
        "code": result.code,
        "nodes": nodes_to_json(&result.nodes),
        "links": result.links,
        "location": result.location,
        "note": result.note,
    })
}

fn result_from_json(json: &Json) -> Result<OperationResult, String> {
    Ok(OperationResult {
        code: field(json, "code")?,
        nodes: nodes_from_json(json.get("nodes"))?,
        links: field(json, "links")?,
        location: field(json, "location")?,
        // Rows of earlier versions have none.
        note: field(json, "note")?,
    })
}

fn nodes_to_json(nodes: &[Node]) -> Vec<Json> {
    nodes.iter().map(node_to_json).collect()
}

fn nodes_from_json(json: Option<&Json>) -> Result<Vec<Node>, String> {
    json.and_then(Json::as_array)
        .ok_or("a list of values is missing")?
        .iter()
        .map(node_from_json)
        .collect()
}

/// A field of an object; a missing one is null, so that a field that is optional may be left out.
pub(super) fn field<T: DeserializeOwned>(json: &Json, name: &str) -> Result<T, String> {
    let value = json.get(name).cloned().unwrap_or(Json::Null);
    T::deserialize(value).map_err(|error| format!("`{name}`: {error}"))
}
