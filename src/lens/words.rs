//! What a message says, in a sentence.

use super::conversation::{Facts, ValueLine};
use super::payload::Payload;
use super::secret::{MASK, is_unguessable};
use super::subject::{Subject, What};
use crate::coap::{Block, Code, Message, Request, number};
use crate::domain::{AnnouncedObject, Path, span};
use crate::lwm2m::register::{Call, Limits, RegisterRequest, UpdateRequest, classify};

/// A message with what is known of it.
pub(super) struct Told<'a> {
    pub(super) up: bool,
    pub(super) message: &'a Message,
    pub(super) subject: Option<&'a Subject>,
    pub(super) is_notification: bool,
    pub(super) payload: &'a Payload,
    /// Bytes of the body that it is a block of, where that was said.
    pub(super) size: Option<u32>,
    pub(super) facts: &'a Facts<'a>,
}

/// Who speaks.
pub(super) fn who(up: bool) -> &'static str {
    if up { "The device" } else { "The server" }
}

/// The sentence.
pub(super) fn of(told: &Told<'_>) -> String {
    let mut words = if told.message.code.is_request() {
        request(told)
    } else {
        response(told)
    };
    if let Some(block) = block(told) {
        words.push_str(": ");
        words.push_str(&block);
    }
    words
}

fn request(told: &Told<'_>) -> String {
    let Told {
        message, subject, ..
    } = told;
    let what = subject.map_or(What::Unknown, |subject| subject.what);
    let about = || about(told);
    match what {
        What::Bootstrap => "Bootstrap request".to_owned(),
        What::CancelObserve => format!("The server no longer observes {}", about()),
        What::Create => format!(
            "The server creates an instance of {}{}",
            about(),
            with(told)
        ),
        What::Delete => format!("The server deletes {}", about()),
        What::Deregister => "Deregister: the device goes".to_owned(),
        What::Discover => format!("The server asks what there is at {}", about()),
        What::Discovery => "The device asks what the server serves".to_owned(),
        What::Execute => match &told.payload.text {
            None => format!("The server executes {}", about()),
            Some(arguments) => format!("The server executes {} with \"{arguments}\"", about()),
        },
        What::Image => "The device asks for the firmware image".to_owned(),
        What::Observe => format!("The server observes {}", about()),
        What::Read => format!("The server reads {}", about()),
        What::Register | What::Update => registration(message, what),
        What::Send => format!("The device sends {}", values(&told.payload.values)),
        What::Unknown => format!("{} asks {}", who(told.up), plain(message)),
        What::Write if subject.is_some_and(Subject::is_package) => {
            "The server sends the firmware image".to_owned()
        }
        What::Write if subject.is_some_and(|subject| subject.is_composite) => {
            format!("The server writes {}", values(&told.payload.values))
        }
        What::Write => format!("The server writes {}{}", about(), with(told)),
        What::WriteAttributes => {
            let query = message.options.uri_query().unwrap_or_default();
            let query = query.join(", ");
            format!("The server sets {query} of {}", about())
        }
    }
}

fn response(told: &Told<'_>) -> String {
    let Told {
        message,
        subject,
        payload,
        ..
    } = told;
    let who = who(told.up);
    let code = message.code;
    if code.class() >= 4 {
        let reason = payload.text.as_deref().unwrap_or_default();
        let why = match reason.is_empty() {
            true => String::new(),
            false => format!(": \"{reason}\""),
        };
        let verb = if told.is_notification {
            "ends the observation of"
        } else {
            "refuses"
        };
        let about = subject.map_or_else(|| "a request".to_owned(), |_| asked(told));
        return format!("{who} {verb} {about} with {code} {}{why}", code_name(code));
    }
    let what = subject.map(|subject| subject.what);
    if told.is_notification {
        let of = subject.map_or_else(String::new, |subject| paths(&subject.paths));
        let number = message.options.observe();
        let number = number.map_or_else(String::new, |number| format!(" {}", grouped(number)));
        let reported = match payload.values.is_empty() {
            true => about(told),
            false => values(&payload.values),
        };
        return format!("{who} reports {reported} (notification{number} of {of})");
    }
    match what {
        Some(What::Register) if code == Code::CREATED => {
            "The server has registered the device".to_owned()
        }
        Some(What::Update) => "The server has updated the registration".to_owned(),
        Some(What::Deregister) => "The server has ended the registration".to_owned(),
        Some(What::Send) => "The server has taken the values".to_owned(),
        Some(What::Image) => "The server sends the firmware image".to_owned(),
        Some(What::Discovery) => "The server says what it serves".to_owned(),
        Some(What::Discover) => format!("The device lists what there is at {}", about(told)),
        Some(What::Execute) => format!("The device has executed {}", about(told)),
        Some(What::Delete) => format!("The device has deleted {}", about(told)),
        Some(What::Create) => {
            let location: Vec<_> = message
                .options
                .all(number::LOCATION_PATH)
                .map(String::from_utf8_lossy)
                .collect();
            match location.is_empty() {
                true => format!("The device has created an instance of {}", about(told)),
                false => format!("The device has created /{}", location.join("/")),
            }
        }
        Some(What::WriteAttributes) => {
            format!("The device has set the attributes of {}", about(told))
        }
        Some(What::Write) if code == Code::CONTINUE => "The device has taken a block".to_owned(),
        Some(What::Write) => match subject.is_some_and(|subject| subject.is_composite) {
            true => "The device has written the values".to_owned(),
            false => format!("The device has written {}", about(told)),
        },
        Some(What::Observe) if message.options.observe().is_some() => match &payload.values[..] {
            [] => format!("The device reports {} from now on", about(told)),
            all => format!(
                "The device reports {} from now on: {}",
                about(told),
                values(all)
            ),
        },
        Some(_) if !payload.values.is_empty() => {
            format!("{who} answers: {}", values(&payload.values))
        }
        Some(_) => format!("{who} answers {}", asked(told)),
        None if told.up && message.options.observe().is_some() => {
            "The device reports something that nobody asked for".to_owned()
        }
        None => format!("{who} answers with {code} {}", code_name(code)),
    }
}

/// What was asked, after a verb.
fn asked(told: &Told<'_>) -> String {
    let what = told.subject.map_or(What::Unknown, |subject| subject.what);
    let verb = match what {
        What::Bootstrap => "the bootstrap request",
        What::CancelObserve => "the end of the observation of",
        What::Create => "a new instance of",
        What::Delete => "the removal of",
        What::Deregister => "the Deregister",
        What::Discover => "the discovery of",
        What::Discovery => "the discovery",
        What::Execute => "the execution of",
        What::Image => "the firmware image",
        What::Observe => "the observation of",
        What::Read => "the read of",
        What::Register => "the Register",
        What::Send => "the Send",
        What::Unknown => "the request",
        What::Update => "the Update",
        What::Write => "the write of",
        What::WriteAttributes => "the attributes of",
    };
    match verb.ends_with(" of") {
        true => format!("{verb} {}", about(told)),
        false => verb.to_owned(),
    }
}

/// The paths, with the name of a single one.
fn about(told: &Told<'_>) -> String {
    let Some(subject) = told.subject else {
        return "something".to_owned();
    };
    match subject.paths.as_slice() {
        [] => "several resources".to_owned(),
        [path] => match told.facts.name(path) {
            Some(name) => format!("{path} ({name})"),
            None => path.to_string(),
        },
        all => paths(all),
    }
}

fn paths(all: &[Path]) -> String {
    let more = all.len().saturating_sub(MOST);
    let mut shown: Vec<String> = all.iter().take(MOST).map(Path::to_string).collect();
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    shown.join(", ")
}

/// What is written.
fn with(told: &Told<'_>) -> String {
    match told.payload.values.as_slice() {
        [] => String::new(),
        [one]
            if told
                .subject
                .is_some_and(|subject| subject.paths == [one.path]) =>
        {
            format!(": {}", amount(one))
        }
        all => format!(": {}", values(all)),
    }
}

/// The first values, and how many more.
fn values(all: &[ValueLine]) -> String {
    let more = all.len().saturating_sub(MOST);
    let mut shown: Vec<String> = all
        .iter()
        .take(MOST)
        .map(|value| {
            let name = value.name.clone();
            let name = name.unwrap_or_else(|| value.path.to_string());
            format!("{name} {}", amount(value))
        })
        .collect();
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    match shown.is_empty() {
        true => "values".to_owned(),
        false => shown.join(", "),
    }
}

fn amount(value: &ValueLine) -> String {
    let shown = match &value.value {
        Some(text) if text.chars().count() > MOST_CHARS => {
            let head: String = text.chars().take(MOST_CHARS).collect();
            format!("{head}…")
        }
        Some(text) => text.clone(),
        None => MASK.to_owned(),
    };
    match &value.unit {
        Some(unit) => format!("{shown} {unit}"),
        None => shown,
    }
}

/// Which block of a body it brings, asks for or confirms.
fn block(told: &Told<'_>) -> Option<String> {
    let Told { message, size, .. } = told;
    let option = |option| Block::of(&message.options, option).ok().flatten();
    let request = message.code.is_request();
    let block = told
        .payload
        .block
        .or_else(|| option(number::BLOCK1).filter(|_| !request))
        .or_else(|| option(number::BLOCK2).filter(|block| request && block.number() > 0))?;
    if block.number() == 0 && !block.more {
        return None;
    }
    let number = grouped(block.number().saturating_add(1));
    let bytes = u32::try_from(block.exponent.size()).unwrap_or(u32::MAX);
    let count = size.map(|size| size.div_ceil(bytes.max(1)));
    // What was said of another body is of no use.
    let count = count.filter(|count| *count > block.number());
    Some(match count {
        Some(count) => format!("block {number} of {}", grouped(count)),
        None => format!("block {number}"),
    })
}

fn registration(message: &Message, what: What) -> String {
    let request = Request {
        code: message.code,
        options: message.options.clone(),
        payload: message.payload.clone(),
    };
    match classify(&request, true, &Limits::default()) {
        Ok(Call::Register(register)) => register_words(&register),
        Ok(Call::Update { update, .. }) => update_words(&update),
        // A block of it, or something that the server refuses.
        _ => {
            let query = request.options.uri_query().unwrap_or_default();
            let name = match what {
                What::Register => "Register",
                _ => "Update",
            };
            match query.is_empty() {
                true => name.to_owned(),
                false => format!("{name}: {}", query.join(", ")),
            }
        }
    }
}

fn register_words(register: &RegisterRequest) -> String {
    let mut parts = Vec::new();
    let name = register.endpoint.as_ref();
    let name = name.map_or_else(|| "the device".to_owned(), ToString::to_string);
    parts.push(match register.lifetime {
        Some(lifetime) => format!("{name} for {}", span(lifetime.as_secs())),
        None => name,
    });
    parts.push(format!("LwM2M {}", register.version));
    if register.queue_mode {
        parts.push("queue mode".to_owned());
    }
    parts.push(objects(&register.objects));
    format!("Register: {}", parts.join(", "))
}

fn update_words(update: &UpdateRequest) -> String {
    let mut parts = Vec::new();
    if let Some(lifetime) = update.lifetime {
        parts.push(format!("for {}", span(lifetime.as_secs())));
    }
    if let Some(binding) = &update.binding {
        parts.push(format!("binding {binding}"));
    }
    if let Some(announced) = &update.objects {
        parts.push(objects(&announced.objects));
    }
    match parts.is_empty() {
        true => "Update: the device is still there".to_owned(),
        false => format!("Update: {}", parts.join(", ")),
    }
}

fn objects(all: &[AnnouncedObject]) -> String {
    let mut ids: Vec<u16> = all
        .iter()
        .filter_map(|object| object.path.object_id())
        .collect();
    ids.dedup();
    let more = ids.len().saturating_sub(MOST_OBJECTS);
    let mut shown: Vec<String> = ids
        .iter()
        .take(MOST_OBJECTS)
        .map(ToString::to_string)
        .collect();
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    format!("objects {}", shown.join(", "))
}

/// A request that is none of LwM2M.
fn plain(message: &Message) -> String {
    let path: Vec<&[u8]> = message.options.all(number::URI_PATH).collect();
    let shown: Vec<_> = path
        .iter()
        .enumerate()
        .map(|(at, segment)| match is_unguessable(&path, at) {
            true => MASK.into(),
            false => String::from_utf8_lossy(segment),
        })
        .collect();
    format!("{} /{}", code_name(message.code), shown.join("/"))
}

/// The name of a code (RFC 7252 section 12.1).
pub(super) fn code_name(code: Code) -> &'static str {
    match code {
        Code::EMPTY => "Empty",
        Code::GET => "GET",
        Code::POST => "POST",
        Code::PUT => "PUT",
        Code::DELETE => "DELETE",
        Code::FETCH => "FETCH",
        Code::PATCH => "PATCH",
        Code::IPATCH => "iPATCH",
        Code::CREATED => "Created",
        Code::DELETED => "Deleted",
        Code::VALID => "Valid",
        Code::CHANGED => "Changed",
        Code::CONTENT => "Content",
        Code::CONTINUE => "Continue",
        Code::BAD_REQUEST => "Bad Request",
        Code::UNAUTHORIZED => "Unauthorized",
        Code::BAD_OPTION => "Bad Option",
        Code::FORBIDDEN => "Forbidden",
        Code::NOT_FOUND => "Not Found",
        Code::METHOD_NOT_ALLOWED => "Method Not Allowed",
        Code::NOT_ACCEPTABLE => "Not Acceptable",
        Code::REQUEST_ENTITY_INCOMPLETE => "Request Entity Incomplete",
        Code::PRECONDITION_FAILED => "Precondition Failed",
        Code::REQUEST_ENTITY_TOO_LARGE => "Request Entity Too Large",
        Code::UNSUPPORTED_CONTENT_FORMAT => "Unsupported Content-Format",
        Code::INTERNAL_SERVER_ERROR => "Internal Server Error",
        Code::NOT_IMPLEMENTED => "Not Implemented",
        Code::SERVICE_UNAVAILABLE => "Service Unavailable",
        Code::PROXYING_NOT_SUPPORTED => "Proxying Not Supported",
        _ => "",
    }
}

/// A number with a comma at each thousand.
fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digits.len().saturating_sub(at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Values and paths in one sentence.
const MOST: usize = 3;
const MOST_OBJECTS: usize = 20;
/// Characters of one value in a sentence.
const MOST_CHARS: usize = 60;
