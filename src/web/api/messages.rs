//! `/api/v1/endpoints/{name}/messages`: what a device and the server said to each other.

use actix_web::http::header;
use actix_web::web::{Path, Query};
use actix_web::{HttpResponse, get};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::lens::{Kind, Line, OptionLine, ValueLine, pcap};
use crate::web::ApiError;
use crate::web::api::refused::{NoDevice, NotLoggedIn, NotOperator, UnreadableParameter};
use crate::web::auth::{Operator, Viewer};
use crate::web::error::Problem;

use super::query::{self, NoQuery, Page};

/// A message between a device and the server.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 1_795_780_800_000_017_u64, "time": "2026-11-30T12:00:00.000Z", "direction": "up",
    "kind": "data", "words": "The device reports Temperature 21.5 Cel (notification 17 of /3303/0/5700)",
    "secure": true, "address": "192.0.2.7:49152", "wire_bytes": 59, "message_bytes": 22, "cut": false,
    "type": "CON", "code": "2.05", "code_name": "Content", "message_id": 4711, "token": "0102030405060708",
    "copy": false, "copy_of": null, "answers": null, "answered_by": 1_795_780_800_000_018_u64,
    "options": [{ "number": 6, "name": "Observe", "value": "17" }],
    "format": "senml_cbor (112)", "payload_bytes": 10,
    "values": [{ "path": "/3303/0/5700", "name": "Temperature", "value": "21.5", "unit": "Cel", "secret": false, "time": null }],
    "text": null, "note": null
}))]
pub(in crate::web) struct MessageView {
    /// Its number; grows with time, also over a restart.
    id: u64,
    /// When it was seen.
    #[schema(format = DateTime)]
    time: String,
    /// `up` from the device, `down` to it.
    direction: &'static str,
    /// `ack`, `data`, `firmware`, `operation`, `other` or `registration`.
    kind: &'static str,
    /// What it says.
    words: String,
    /// True when it went through DTLS.
    secure: bool,
    /// Where the device was.
    address: String,
    /// Bytes of its datagram, DTLS included; 0 for a further message of one datagram.
    wire_bytes: u32,
    /// Bytes of the message.
    message_bytes: u32,
    /// True when only its head was kept (`lens.max_message_bytes`).
    cut: bool,
    /// `CON`, `NON`, `ACK` or `RST`; null for what is no message.
    #[schema(required)]
    r#type: Option<&'static str>,
    /// Such as `2.05`.
    #[schema(required)]
    code: Option<String>,
    /// Such as `Content`.
    #[schema(required)]
    code_name: Option<&'static str>,
    /// Its message id.
    #[schema(required)]
    message_id: Option<u16>,
    /// Its token, in hexadecimal digits.
    #[schema(required)]
    token: Option<String>,
    /// True when the same was sent or heard before.
    copy: bool,
    /// The `id` of the message that it is a copy of, if that is still there.
    #[schema(required)]
    copy_of: Option<u64>,
    /// The `id` of the message that it answers or acknowledges, if that is still there.
    #[schema(required)]
    answers: Option<u64>,
    /// The `id` of the first message that answers or acknowledges it.
    #[schema(required)]
    answered_by: Option<u64>,
    /// Its options.
    options: Vec<OptionView>,
    /// The content format of its payload.
    #[schema(required)]
    format: Option<String>,
    /// Bytes of its payload, as far as they were kept.
    payload_bytes: usize,
    /// The values of its payload.
    values: Vec<ValueView>,
    /// Its payload, where that is text.
    #[schema(required)]
    text: Option<String>,
    /// What else there is to say of its payload.
    #[schema(required)]
    note: Option<String>,
    /// Its bytes in hexadecimal digits, where one message is asked for; zeros stand for what is secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
}

/// An option of a message.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::web) struct OptionView {
    /// Its number.
    number: u16,
    /// Its name.
    name: String,
    /// Its value, as people read it.
    value: String,
}

/// A value of a payload.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::web) struct ValueView {
    /// Where.
    path: String,
    /// What it is, by the object model.
    #[schema(required)]
    name: Option<String>,
    /// The value as text; null when it is secret.
    #[schema(required)]
    value: Option<String>,
    /// Its unit.
    #[schema(required)]
    unit: Option<String>,
    /// True for keys and passwords.
    secret: bool,
    /// When the device measured it, if it said so.
    #[schema(required, format = DateTime)]
    time: Option<String>,
}

impl From<Line> for MessageView {
    fn from(line: Line) -> Self {
        let head = line.head;
        Self {
            id: line.id,
            time: line.time.to_string(),
            direction: if line.up { "up" } else { "down" },
            kind: line.kind.name(),
            words: line.words,
            secure: line.is_secure,
            address: line.address.to_string(),
            wire_bytes: line.wire,
            message_bytes: line.length,
            cut: line.is_cut,
            r#type: head.as_ref().map(|head| head.kind),
            code: head.as_ref().map(|head| head.code.clone()),
            code_name: head.as_ref().map(|head| head.code_name),
            message_id: head.as_ref().map(|head| head.message_id),
            token: head.map(|head| head.token),
            copy: line.is_copy,
            copy_of: line.copy_of,
            answers: line.answers,
            answered_by: line.answered_by,
            options: line.options.into_iter().map(OptionView::from).collect(),
            format: line.format,
            payload_bytes: line.payload_bytes,
            values: line.values.into_iter().map(ValueView::from).collect(),
            text: line.text,
            note: line.note,
            bytes: None,
        }
    }
}

impl From<OptionLine> for OptionView {
    fn from(option: OptionLine) -> Self {
        Self {
            number: option.number,
            name: option.name,
            value: option.value,
        }
    }
}

impl From<ValueLine> for ValueView {
    fn from(value: ValueLine) -> Self {
        Self {
            path: value.path.to_string(),
            name: value.name,
            secret: value.value.is_none(),
            value: value.value,
            unit: value.unit,
            time: value.time.map(|time| time.to_string()),
        }
    }
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MessageQuery {
    /// Only messages of these kinds, with commas between: `ack`, `data`, `firmware`, `operation`, `other`,
    /// `registration`.
    #[param(example = "data,operation")]
    kind: Option<String>,
    /// `up` from the device, or `down` to it.
    #[param(example = "up")]
    direction: Option<String>,
    /// Only messages with this in their words, upper and lower case alike.
    search: Option<String>,
    /// Only messages behind the one with this `id`.
    #[param(value_type = Option<u64>)]
    after: Option<String>,
    /// Rows of a page, at most `web.max_page_rows`.
    #[param(value_type = Option<u64>, minimum = 1, default = 100)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// List what a device and the server said
///
/// The last `lens.messages_per_device` messages of the device since the start of the server, newest first, in words.
/// Keys and passwords are left out.
#[utoipa::path(
    get,
    path = "/endpoints/{name}/messages",
    impl_for = list_messages,
    tag = "protocol",
    params(("name" = String, Path, description = "The device"), MessageQuery),
    responses(
        (status = 200, description = "A page of messages", body = Page<MessageView>),
        UnreadableParameter, NotLoggedIn, NoDevice,
    ),
)]
#[get("/endpoints/{name}/messages")]
pub(super) async fn list_messages(
    viewer: Viewer,
    name: Path<String>,
    query: Query<MessageQuery>,
) -> Result<HttpResponse, ApiError> {
    let row = viewer.endpoint(&query::endpoint_name(&name)?).await?;
    let filter = Filter::new(&query)?;
    let limit = query::limit(&viewer, query.limit.as_deref())?;
    let before: Option<u64> = query::read_cursor(query.cursor.as_deref())?;
    let most = usize::try_from(limit.saturating_add(1)).unwrap_or(usize::MAX);
    let conversation = viewer.conversation(&row).await?;
    let lines: Vec<Line> = conversation
        .lines
        .into_iter()
        .rev()
        .filter(|line| before.is_none_or(|before| line.id < before))
        .filter(|line| filter.takes(line))
        .take(most)
        .collect();
    let page = Page::cut(lines, limit, |line| line.id, MessageView::from);
    Ok(no_store().json(page))
}

/// Show one message with its bytes
///
/// What is secret in the bytes is zeros.
#[utoipa::path(
    get,
    path = "/endpoints/{name}/messages/{id}",
    impl_for = show_message,
    tag = "protocol",
    params(
        ("name" = String, Path, description = "The device"),
        ("id" = u64, Path, description = "The message"),
    ),
    responses(
        (status = 200, description = "The message, with `bytes`", body = MessageView),
        (status = 404, description = "No such device, or the message is not kept any more", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn,
    ),
)]
#[get("/endpoints/{name}/messages/{id}")]
pub(super) async fn show_message(
    viewer: Viewer,
    path: Path<(String, String)>,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    let (name, id) = path.into_inner();
    let row = viewer.endpoint(&query::endpoint_name(&name)?).await?;
    let mut lines = viewer.conversation(&row).await?.lines.into_iter();
    let line = lines.find(|line| id.parse() == Ok(line.id));
    let line = line.ok_or_else(|| {
        ApiError::not_found(format!(
            "there is no message `{id}`, or it is not kept any more"
        ))
    })?;
    let bytes = hex::encode(&line.bytes);
    let view = MessageView {
        bytes: Some(bytes),
        ..MessageView::from(line)
    };
    Ok(no_store().json(view))
}

/// Get the messages as a file for Wireshark
///
/// Without DTLS, as if they had gone to port 5683. What is secret is zeros.
#[utoipa::path(
    get,
    path = "/endpoints/{name}/messages.pcap",
    impl_for = download_messages,
    tag = "protocol",
    params(("name" = String, Path, description = "The device")),
    responses(
        (status = 200, description = "A pcap file of raw IP packets", body = Vec<u8>, content_type = "application/vnd.tcpdump.pcap"),
        NotOperator, NoDevice,
    ),
)]
#[get("/endpoints/{name}/messages.pcap")]
pub(super) async fn download_messages(
    operator: Operator,
    name: Path<String>,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    let row = operator.endpoint(&query::endpoint_name(&name)?).await?;
    let conversation = operator.conversation(&row).await?;
    let (plain, secure) = operator.coap_addresses();
    let file = pcap::write(&conversation.lines, plain, secure);
    Ok(no_store()
        .insert_header((header::CONTENT_TYPE, "application/vnd.tcpdump.pcap"))
        .insert_header((
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"messages.pcap\"",
        ))
        .body(file))
}

/// Which messages are asked for.
struct Filter {
    kinds: Vec<Kind>,
    up: Option<bool>,
    search: String,
    after: u64,
}

impl Filter {
    fn new(query: &MessageQuery) -> Result<Self, ApiError> {
        let kind = |name: &str| {
            let kind = name.parse::<Kind>();
            kind.map_err(|why| ApiError::parameter("kind", why))
        };
        let kinds = query.kind.iter().flat_map(|kinds| kinds.split(','));
        let kinds = kinds.filter(|name| !name.is_empty());
        let up = match query.direction.as_deref() {
            None | Some("") => None,
            Some("up") => Some(true),
            Some("down") => Some(false),
            Some(_) => {
                let detail = "`direction` is `up` or `down`";
                return Err(ApiError::parameter("direction", detail));
            }
        };
        Ok(Self {
            kinds: kinds.map(kind).collect::<Result<_, _>>()?,
            up,
            search: query.search.as_deref().unwrap_or_default().to_lowercase(),
            after: query::count("after", query.after.as_deref())?.unwrap_or_default(),
        })
    }

    fn takes(&self, line: &Line) -> bool {
        line.id > self.after
            && (self.kinds.is_empty() || self.kinds.contains(&line.kind))
            && self.up.is_none_or(|up| up == line.up)
            && line.words.to_lowercase().contains(&self.search)
    }
}

fn no_store() -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    response
}
