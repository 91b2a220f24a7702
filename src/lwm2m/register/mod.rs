//! What devices ask of us: Register, Update, Deregister, Send and discovery
//! (OMA-TS-LightweightM2M Core 6.2, 6.4.6), and our answers.
//!
//! Deviations that harm nobody are forgiven with a [`Warning`]; what cannot be understood is
//! refused with a [`Refusal`]. Who may register, under which name and for how long is decided
//! above.

mod objects;

use std::collections::BTreeMap;
use std::time::Duration;

use super::link_format::{Warnings, shown};
use crate::coap::{Code, Request, Response, number};
use crate::domain::{AnnouncedObject, EndpointName, Lwm2mVersion, RegistrationId, Warning};

use objects::announced;

/// How much one request may bring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Objects and object instances of one device.
    pub max_objects: usize,
    /// Bytes of the list of objects.
    pub max_links_bytes: usize,
    /// Query parameters that LwM2M does not define; more are left out with a warning.
    pub max_attributes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_objects: 1000,
            max_links_bytes: 65_536,
            max_attributes: 32,
        }
    }
}

/// What a peer asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// DELETE /rd/ID
    Deregister {
        /// Which registration is to end.
        location: RegistrationId,
    },
    /// GET /.well-known/core
    Discovery,
    /// GET /binaries/NAME or /binaries/KEY/NAME
    Image {
        /// `NAME` or `KEY/NAME`.
        path: String,
    },
    /// POST /rd
    Register(RegisterRequest),
    /// POST /dp, read by [`super::report::send`].
    Send,
    /// POST /rd/ID
    Update {
        /// Which registration lives on.
        location: RegistrationId,
        /// What changes.
        update: UpdateRequest,
    },
}

/// What a Register says.
#[derive(Clone, Debug, PartialEq)]
pub struct RegisterRequest {
    /// The name of the device (`ep`); without it the security layer must know who it is.
    pub endpoint: Option<EndpointName>,
    /// The version of LwM2M (`lwm2m`).
    pub version: Lwm2mVersion,
    /// The binding (`b`), `U` when not given.
    pub binding: String,
    /// True when the device sleeps: `Q` among the parameters or, as in 1.0, in the binding.
    pub queue_mode: bool,
    /// The lifetime (`lt`), if given; see [`DEFAULT_LIFETIME`].
    pub lifetime: Option<Duration>,
    /// The telephone number for SMS (`sms`).
    pub sms_number: Option<String>,
    /// The path in front of every LwM2M path; empty or, for example, `/lwm2m`.
    pub root: String,
    /// The objects and instances, sorted by path.
    pub objects: Vec<AnnouncedObject>,
    /// The content formats (`ct` of the root), in the device's order.
    pub formats: Vec<u16>,
    /// Query parameters that LwM2M does not define.
    pub attributes: BTreeMap<String, String>,
    /// What was forgiven.
    pub warnings: Vec<Warning>,
    /// The links as they came; zero bytes are replaced.
    pub raw_links: String,
}

/// What an Update changes; what is none stays as it was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateRequest {
    /// The new binding (`b`).
    pub binding: Option<String>,
    /// True when `Q` is among the parameters; [`UpdateRequest::queue_mode`] tells what follows.
    pub queue_flag: bool,
    /// The new lifetime (`lt`).
    pub lifetime: Option<Duration>,
    /// The new telephone number (`sms`).
    pub sms_number: Option<String>,
    /// The new list of objects.
    pub objects: Option<Announced>,
    /// Further query parameters, to be merged into those that are known.
    pub attributes: BTreeMap<String, String>,
    /// What was forgiven.
    pub warnings: Vec<Warning>,
}

impl UpdateRequest {
    /// Whether it only says that the device is still there.
    pub fn says_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the device sleeps from now on, given its version and whether it did so far.
    pub fn queue_mode(&self, version: Lwm2mVersion, before: bool) -> bool {
        match &self.binding {
            _ if self.queue_flag => true,
            Some(binding) if binding.contains('Q') => true,
            // In 1.0 the binding says it all; later versions have a parameter of its own, which
            // an Update need not repeat.
            Some(_) if version == Lwm2mVersion::V1_0 => false,
            _ => before,
        }
    }

    /// What to warn about when the binding is not one of this version (A9).
    pub fn binding_warning(&self, version: Lwm2mVersion) -> Option<Warning> {
        binding_warning(self.binding.as_deref()?, version)
    }
}

/// A list of objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Announced {
    /// The path in front of every LwM2M path; empty or, for example, `/lwm2m`.
    pub root: String,
    /// The objects and instances, sorted by path.
    pub objects: Vec<AnnouncedObject>,
    /// The content formats (`ct` of the root), in the device's order.
    pub formats: Vec<u16>,
    /// The links as they came; zero bytes are replaced.
    pub raw_links: String,
}

/// Why a request is not served: the code of the answer and the reason, which goes with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {reason}")]
pub struct Refusal {
    /// The response code.
    pub code: Code,
    /// The diagnostic payload.
    pub reason: String,
}

impl Refusal {
    /// A refusal with its reason.
    pub fn new(code: Code, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }

    fn bad(reason: impl Into<String>) -> Self {
        Self::new(Code::BAD_REQUEST, reason)
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        Self::refusal(refusal.code, &refusal.reason)
    }
}

/// How long a registration lives when the device does not say (OMA-TS-LightweightM2M Core 6.2.1).
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(86_400);

/// What `lt=0`, an infinite lifetime since 1.2, becomes: 136 years, to be cut to what is granted.
pub const INFINITE_LIFETIME: Duration = Duration::from_secs(u32::MAX as u64);

/// Tells what a request of a peer is. `confirmable` is how it came.
///
/// # Errors
/// 4.00 for what cannot be understood, 4.04 for other paths, 4.05 for other methods, 4.12 for
/// versions that we do not speak, 4.13 for too many objects.
pub fn classify(request: &Request, confirmable: bool, limits: &Limits) -> Result<Call, Refusal> {
    let mut path = request
        .options
        .uri_path()
        .ok_or_else(|| Refusal::bad("the Uri-Path is no UTF-8"))?;
    // Some clients end their paths with a slash, which is one empty segment more.
    if path.last() == Some(&"") {
        path.pop();
    }
    match (request.code, path.as_slice()) {
        (Code::POST, ["rd"]) => register(request, confirmable, limits).map(Call::Register),
        (Code::POST, ["rd", location]) => Ok(Call::Update {
            location: location_id(location)?,
            update: update(request, limits)?,
        }),
        (Code::DELETE, ["rd", location]) => Ok(Call::Deregister {
            location: location_id(location)?,
        }),
        (Code::POST, ["dp"]) => Ok(Call::Send),
        (Code::GET, [".well-known", "core"]) => Ok(Call::Discovery),
        (Code::GET, [BINARIES, rest @ ..]) if is_image(rest) => Ok(Call::Image {
            path: rest.join("/"),
        }),
        (Code::GET, [BINARIES, ..]) => Err(Refusal::new(
            Code::NOT_FOUND,
            "there is no image of this name",
        )),
        (_, ["rd"] | ["rd", _] | ["dp"] | [".well-known", "core"] | [BINARIES, _, ..]) => Err(
            Refusal::new(Code::METHOD_NOT_ALLOWED, "this method is not served here"),
        ),
        _ => Err(Refusal::new(Code::NOT_FOUND, "nothing is served here")),
    }
}

/// Whether an image can have this path: a name, with a key in front of it or without. A slash within a segment
/// is not one between two (RFC 7252 section 6.4).
fn is_image(path: &[&str]) -> bool {
    matches!(path.len(), 1 | 2)
        && path
            .iter()
            .all(|segment| !segment.is_empty() && !segment.contains('/'))
}

/// The answer to a Register: 2.01 with the location `/rd/ID`.
pub fn registered(location: &RegistrationId) -> Response {
    let mut response = Response::new(Code::CREATED);
    response.options.add(number::LOCATION_PATH, b"rd");
    response
        .options
        .add(number::LOCATION_PATH, location.as_str().as_bytes());
    response
}

/// The answer to an Update: 2.04.
pub fn updated() -> Response {
    Response::new(Code::CHANGED)
}

/// The answer to a Deregister: 2.02.
pub fn deregistered() -> Response {
    Response::new(Code::DELETED)
}

/// The answer to a Send: 2.04.
pub fn sent() -> Response {
    Response::new(Code::CHANGED)
}

/// The answer to a discovery: what is served here. Short, as it goes to strangers too (RFC 7252
/// section 11.3).
pub fn discovery() -> Response {
    let mut response = Response::new(Code::CONTENT);
    response
        .options
        .add_uint(number::CONTENT_FORMAT, LINK_FORMAT.into());
    response.payload = b"</rd>;ct=40,</dp>;ct=\"110 112 11544\"".to_vec();
    response
}

/// Below this, devices find images.
const BINARIES: &str = "binaries";

/// application/link-format
pub(super) const LINK_FORMAT: u16 = 40;

/// The longest location of a registration; ours have 22 characters.
const MAX_LOCATION_BYTES: usize = 64;

/// The longest binding; the letters of all versions fit.
const MAX_BINDING_BYTES: usize = 8;

fn location_id(text: &str) -> Result<RegistrationId, Refusal> {
    // What cannot be one of ours is as unknown as a stale one (A12).
    if text.len() > MAX_LOCATION_BYTES {
        return Err(Refusal::new(Code::NOT_FOUND, "no such registration"));
    }
    Ok(RegistrationId::from_text(text))
}

fn register(
    request: &Request,
    confirmable: bool,
    limits: &Limits,
) -> Result<RegisterRequest, Refusal> {
    if !confirmable {
        return Err(Refusal::bad("a Register must be confirmable"));
    }
    let mut warnings = Warnings::default();
    let query = Query::read(request, limits, &mut warnings)?;
    let version = version(query.version, &mut warnings)?;
    let endpoint = match query.endpoint {
        Some(name) => {
            Some(EndpointName::new(name).map_err(|error| Refusal::bad(error.to_string()))?)
        }
        None => None,
    };
    if query.infinite && version < Lwm2mVersion::V1_2 {
        warnings.add(
            "infinite_lifetime",
            format!("lt=0 is not defined in LwM2M {version}"),
        );
    }
    let announced = announced(request, limits, &mut warnings)?
        .ok_or_else(|| Refusal::bad("a Register needs a list of objects"))?;
    if announced.objects.is_empty() {
        return Err(Refusal::bad("the list of objects holds no object"));
    }
    let binding = query.binding.unwrap_or_else(|| "U".to_owned());
    let queue_mode = query.queue_flag || binding.contains('Q');
    if query.queue_flag && version == Lwm2mVersion::V1_0 {
        warnings.add(
            "queue_parameter",
            "the parameter Q is not defined in LwM2M 1.0",
        );
    }
    if let Some(warning) = binding_warning(&binding, version) {
        warnings.add(&warning.code, warning.message);
    }
    Ok(RegisterRequest {
        endpoint,
        version,
        binding,
        queue_mode,
        lifetime: query.lifetime,
        sms_number: query.sms_number,
        root: announced.root,
        objects: announced.objects,
        formats: announced.formats,
        attributes: query.attributes,
        warnings: warnings.0,
        raw_links: announced.raw_links,
    })
}

fn update(request: &Request, limits: &Limits) -> Result<UpdateRequest, Refusal> {
    let mut warnings = Warnings::default();
    let query = Query::read(request, limits, &mut warnings)?;
    for (name, given) in [
        ("ep", query.endpoint.is_some()),
        ("lwm2m", query.version.is_some()),
    ] {
        if given {
            let message = format!("the parameter {name} means nothing in an Update");
            warnings.add("update_parameter", message);
        }
    }
    let objects = announced(request, limits, &mut warnings)?;
    if objects
        .as_ref()
        .is_some_and(|announced| announced.objects.is_empty())
    {
        return Err(Refusal::bad("the list of objects holds no object"));
    }
    Ok(UpdateRequest {
        binding: query.binding,
        queue_flag: query.queue_flag,
        lifetime: query.lifetime,
        sms_number: query.sms_number,
        objects,
        attributes: query.attributes,
        warnings: warnings.0,
    })
}

fn version(text: Option<&str>, warnings: &mut Warnings) -> Result<Lwm2mVersion, Refusal> {
    let text = text.ok_or_else(|| Refusal::bad("a Register needs the parameter lwm2m"))?;
    if let Ok(version) = text.parse() {
        return Ok(version);
    }
    // 1.0.2 and 1.1.1 are editions of the specification, not versions of the enabler.
    let edition = text.get(..3).zip(text.get(3..)).filter(|(_, rest)| {
        rest.strip_prefix('.')
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
    });
    match edition.and_then(|(version, _)| version.parse().ok()) {
        Some(version) => {
            warnings.add(
                "version",
                format!("lwm2m={} is taken as {version}", shown(text)),
            );
            Ok(version)
        }
        None => Err(Refusal::new(
            Code::PRECONDITION_FAILED,
            format!(
                "LwM2M version {} is not supported (1.0, 1.1 and 1.2 are)",
                shown(text)
            ),
        )),
    }
}

fn binding_warning(binding: &str, version: Lwm2mVersion) -> Option<Warning> {
    let letters = match version {
        Lwm2mVersion::V1_0 => "UQS",
        Lwm2mVersion::V1_1 => "UTSN",
        Lwm2mVersion::V1_2 => "UTSNMH",
    };
    (!binding.chars().all(|letter| letters.contains(letter))).then(|| Warning {
        code: "binding".to_owned(),
        message: format!("the binding {binding} is not defined in LwM2M {version}"),
    })
}

/// The query parameters of a Register or Update.
#[derive(Default)]
struct Query<'a> {
    endpoint: Option<&'a str>,
    version: Option<&'a str>,
    binding: Option<String>,
    queue_flag: bool,
    lifetime: Option<Duration>,
    infinite: bool,
    sms_number: Option<String>,
    attributes: BTreeMap<String, String>,
}

impl<'a> Query<'a> {
    fn read(
        request: &'a Request,
        limits: &Limits,
        warnings: &mut Warnings,
    ) -> Result<Self, Refusal> {
        let parameters = request
            .options
            .uri_query()
            .ok_or_else(|| Refusal::bad("the Uri-Query is no UTF-8"))?;
        let mut query = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for parameter in parameters {
            let (name, value) = match parameter.split_once('=') {
                Some((name, value)) => (name, value),
                None => (parameter, ""),
            };
            let known = matches!(name, "ep" | "lt" | "lwm2m" | "b" | "sms" | "Q");
            if seen.contains(&name) || query.attributes.contains_key(name) {
                let message = format!("{} is given twice, the first counts", shown(name));
                warnings.add("duplicate_parameter", message);
                continue;
            }
            if known {
                seen.push(name);
            }
            match name {
                "ep" => query.endpoint = Some(value),
                "lwm2m" => query.version = Some(value),
                "b" => query.binding = binding(value, warnings)?,
                "lt" => {
                    query.lifetime = Some(lifetime(value, warnings)?);
                    query.infinite = value.bytes().all(|digit| digit == b'0');
                }
                "Q" => query.queue_flag = true,
                _ if name.is_empty() || parameter.chars().any(char::is_control) => {
                    let message = format!("the parameter {} is left out", shown(parameter));
                    warnings.add("bad_parameter", message);
                }
                "sms" => query.sms_number = Some(value.to_owned()),
                _ if query.attributes.len() >= limits.max_attributes => {
                    let message = format!("only {} parameters are kept", limits.max_attributes);
                    warnings.add("too_many_parameters", message);
                }
                _ => {
                    query.attributes.insert(name.to_owned(), value.to_owned());
                }
            }
        }
        Ok(query)
    }
}

/// The binding as far as it is understood; nothing when nothing of it is, and the default holds.
///
/// Letters that no version defines are left out with a warning: what matters of the binding is
/// whether the device sleeps. What is no word at all is refused.
fn binding(text: &str, warnings: &mut Warnings) -> Result<Option<String>, Refusal> {
    let word = text.bytes().all(|byte| byte.is_ascii_alphabetic());
    if text.len() > MAX_BINDING_BYTES || !word {
        let binding = shown(text);
        return Err(Refusal::bad(format!("the binding {binding} is not known")));
    }
    let known: String = text
        .chars()
        .map(|letter| letter.to_ascii_uppercase())
        .filter(|letter| "UTSNMHQ".contains(*letter))
        .collect();
    if known != text || known.is_empty() {
        let taken = if known.is_empty() { "none" } else { &known };
        warnings.add(
            "unknown_binding",
            format!(
                "the binding {} is not known, {taken} of it is taken",
                shown(text)
            ),
        );
    }
    Ok((!known.is_empty()).then_some(known))
}

/// The lifetime. What is no number of seconds is refused, as the device would count on a lifetime
/// that nobody else knows (Leshan refuses it too); 0 is infinite, which LwM2M 1.2 defines; more
/// than [`INFINITE_LIFETIME`] is taken as that, with a warning.
fn lifetime(text: &str, warnings: &mut Warnings) -> Result<Duration, Refusal> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::bad(format!(
            "lt={} is no lifetime in seconds",
            shown(text)
        )));
    }
    // Digits that do not fit into 64 bits are a large number all the same.
    match text.parse::<u64>().unwrap_or(u64::MAX) {
        0 => Ok(INFINITE_LIFETIME),
        seconds if seconds > INFINITE_LIFETIME.as_secs() => {
            warnings.add(
                "lifetime_too_long",
                format!("lt={} is longer than anything that lives", shown(text)),
            );
            Ok(INFINITE_LIFETIME)
        }
        seconds => Ok(Duration::from_secs(seconds)),
    }
}

#[cfg(test)]
mod tests;
