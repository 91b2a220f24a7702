//! Operations on devices: from an [`OperationRequest`] to a CoAP request, and from the answer to an
//! [`OperationResult`](crate::domain::OperationResult) (OMA-TS-LightweightM2M Core 6.3, 6.4 and its transport binding).
//!
//! Which content format is used when the operation names none is the business of `formats`.
//!
//! Tokens, message ids and the Observe numbers of notifications belong to the rooms above.

mod answer;
mod formats;
mod write;

use super::Device;
use super::attributes::{self, InvalidAttribute};
use super::codec::{self, CodecError};
use super::register::LINK_FORMAT;
use crate::coap::{Code, Request, number};
use crate::domain::{ContentFormat, Lwm2mVersion, OperationKind, OperationRequest, Path};

pub(super) use answer::values;
pub use answer::{diagnostic, interpret};
pub use formats::{UsedFormats, used};

/// Why an operation cannot be sent, or an answer makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManageError {
    /// Attributes that cannot be set.
    #[error(transparent)]
    Attribute(#[from] InvalidAttribute),
    /// Values that cannot be written, or bytes that cannot be read.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The device refused every format that the body could be in.
    #[error("the device refuses every format that this could be sent in: {formats}")]
    EverythingRefused {
        /// The formats, in words.
        formats: String,
    },
    /// The device's version of LwM2M does not have it.
    #[error("{what} does not exist in LwM2M {version}")]
    NotInVersion {
        /// What was asked for.
        what: &'static str,
        /// What the device speaks.
        version: Lwm2mVersion,
    },
    /// The operation as it was asked for means nothing.
    #[error("{0}")]
    NotPossible(String),
    /// A notification that only tells an error: the observation has ended.
    #[error("the device ended the observation with {code}")]
    Refused {
        /// The response code.
        code: Code,
    },
    /// An answer that does not fit the operation.
    #[error("{0}")]
    Unexpected(String),
}

impl ManageError {
    fn impossible(reason: impl Into<String>) -> Self {
        Self::NotPossible(reason.into())
    }
}

/// The CoAP request of an operation.
///
/// # Errors
/// Says why the operation cannot be sent; nothing has been sent then.
pub fn build(operation: &OperationRequest, device: &Device<'_>) -> Result<Request, ManageError> {
    let kind = operation.kind;
    let composite = is_composite(kind);
    if composite && device.version < Lwm2mVersion::V1_1 {
        let what = "a composite operation";
        return Err(ManageError::NotInVersion {
            what,
            version: device.version,
        });
    }
    let path = match operation.paths.as_slice() {
        [path] if !composite => *path,
        [_, ..] if composite => Path::ROOT,
        _ => {
            return Err(ManageError::impossible(format!(
                "{kind} needs exactly one path"
            )));
        }
    };
    if path.depth() == 4 && device.version < Lwm2mVersion::V1_1 {
        let what = "access to one resource instance";
        return Err(ManageError::NotInVersion {
            what,
            version: device.version,
        });
    }
    match kind {
        OperationKind::CancelObserve => read(operation, path, Some(1), device),
        OperationKind::CancelObserveComposite => fetch(operation, Some(1), device),
        OperationKind::Create => write::create(operation, path, device),
        OperationKind::Delete => {
            let instance_of_resource = path.depth() == 4 && device.version >= Lwm2mVersion::V1_2;
            if path.depth() != 2 && !instance_of_resource {
                return Err(ManageError::impossible(format!(
                    "{path} is no object instance; only those can be deleted"
                )));
            }
            Ok(request(Code::DELETE, path, device))
        }
        OperationKind::Discover => {
            depth(path, 1..=3, kind)?;
            let mut request = request(Code::GET, path, device);
            request.options.add_uint(number::ACCEPT, LINK_FORMAT.into());
            Ok(request)
        }
        OperationKind::Execute => {
            depth(path, 3..=3, kind)?;
            let mut request = request(Code::POST, path, device);
            if let Some(arguments) = operation
                .arguments
                .as_deref()
                .filter(|text| !text.is_empty())
            {
                check_arguments(arguments)?;
                set_body(
                    &mut request,
                    ContentFormat::Text,
                    device,
                    arguments.as_bytes().to_vec(),
                );
            }
            Ok(request)
        }
        OperationKind::Observe => read(operation, path, Some(0), device),
        OperationKind::ObserveComposite => fetch(operation, Some(0), device),
        OperationKind::Read => read(operation, path, None, device),
        OperationKind::ReadComposite => fetch(operation, None, device),
        OperationKind::Write => {
            depth(path, 2..=4, kind)?;
            write::write(operation, Code::PUT, path, path, device)
        }
        OperationKind::WriteAttributes => {
            depth(path, 1..=4, kind)?;
            write_attributes(operation, path, device)
        }
        OperationKind::WriteComposite => write::write_composite(operation, device),
        OperationKind::WriteUpdate => {
            depth(path, 2..=3, kind)?;
            // POST on a resource is an Execute for many clients; an update of the instance that
            // names only this resource says the same.
            write::write(operation, Code::POST, path.truncated(2), path, device)
        }
    }
}

fn is_composite(kind: OperationKind) -> bool {
    matches!(
        kind,
        OperationKind::CancelObserveComposite
            | OperationKind::ObserveComposite
            | OperationKind::ReadComposite
            | OperationKind::WriteComposite
    )
}

fn holds_one_value(format: Option<ContentFormat>) -> bool {
    matches!(
        format,
        Some(ContentFormat::Cbor | ContentFormat::Opaque | ContentFormat::Text)
    )
}

fn depth(
    path: Path,
    allowed: std::ops::RangeInclusive<usize>,
    kind: OperationKind,
) -> Result<(), ManageError> {
    if allowed.contains(&path.depth()) {
        return Ok(());
    }
    let levels = [
        "the root",
        "an object",
        "an object instance",
        "a resource",
        "a resource instance",
    ];
    let level = levels.get(path.depth()).copied().unwrap_or_default();
    Err(ManageError::impossible(format!(
        "{kind} is not possible on {path}, which is {level}"
    )))
}

fn request(code: Code, path: Path, device: &Device<'_>) -> Request {
    let mut request = Request::new(code);
    request.options.add_uri_path(device.root);
    for id in path.ids() {
        request
            .options
            .add(number::URI_PATH, id.to_string().as_bytes());
    }
    request
}

fn set_body(request: &mut Request, format: ContentFormat, device: &Device<'_>, payload: Vec<u8>) {
    let format = formats::number(format, device);
    request
        .options
        .set_uint(number::CONTENT_FORMAT, format.into());
    request.payload = payload;
}

fn set_accept(request: &mut Request, format: ContentFormat, device: &Device<'_>) {
    let format = formats::number(format, device);
    request.options.set_uint(number::ACCEPT, format.into());
}

/// A Read, an Observe (Observe 0) or the end of it (Observe 1).
fn read(
    operation: &OperationRequest,
    path: Path,
    observe: Option<u32>,
    device: &Device<'_>,
) -> Result<Request, ManageError> {
    depth(path, 1..=4, operation.kind)?;
    let mut request = request(Code::GET, path, device);
    if let Some(observe) = observe {
        request.options.add_uint(number::OBSERVE, observe);
    }
    let Some(format) = formats::for_answer(operation, device) else {
        return Ok(request);
    };
    if operation.format.is_some_and(ContentFormat::is_etch) {
        return Err(ManageError::impossible(ETCH_ELSEWHERE));
    }
    if holds_one_value(Some(format)) && path.depth() < 3 {
        return Err(ManageError::impossible(format!(
            "{} holds one value, but {path} is no resource",
            format.name()
        )));
    }
    set_accept(&mut request, format, device);
    Ok(request)
}

/// A Read-Composite, Observe-Composite or the end of one: FETCH with the paths as body.
fn fetch(
    operation: &OperationRequest,
    observe: Option<u32>,
    device: &Device<'_>,
) -> Result<Request, ManageError> {
    let format = formats::for_paths(operation, device)?;
    let mut request = request(Code::FETCH, Path::ROOT, device);
    if let Some(observe) = observe {
        request.options.add_uint(number::OBSERVE, observe);
    }
    set_body(
        &mut request,
        format,
        device,
        codec::encode_paths(format, &operation.paths)?,
    );
    if let Some(format) = formats::for_answer(operation, device) {
        set_accept(&mut request, format, device);
    }
    Ok(request)
}

/// RFC 8790 defines it for FETCH and iPATCH.
const ETCH_ELSEWHERE: &str = "SenML-ETCH is for the requests of composite operations only";

fn write_attributes(
    operation: &OperationRequest,
    path: Path,
    device: &Device<'_>,
) -> Result<Request, ManageError> {
    if operation.attributes.is_empty() {
        return Err(ManageError::impossible("there is no attribute to set"));
    }
    attributes::check_request(&path, &operation.attributes, device)?;
    let mut request = request(Code::PUT, path, device);
    for (name, value) in &operation.attributes {
        let parameter = match value {
            Some(value) => format!("{name}={}", attributes::sent(name, value)?),
            None => name.clone(),
        };
        request.options.add(number::URI_QUERY, parameter.as_bytes());
    }
    Ok(request)
}

/// Checks the arguments of an Execute: `0`, `0,1='text'` (OMA-TS-LightweightM2M Core 6.3.5).
fn check_arguments(text: &str) -> Result<(), ManageError> {
    let wrong = |reason: &str| {
        Err(ManageError::impossible(format!(
            "the arguments are not of the form 0='value',1,…: {reason}"
        )))
    };
    let mut seen = [false; 10];
    let mut rest = text;
    loop {
        let Some(id) = rest.chars().next().and_then(|c| c.to_digit(10)) else {
            return wrong("each begins with a digit");
        };
        if let Some(seen) = usize::try_from(id).ok().and_then(|id| seen.get_mut(id)) {
            if *seen {
                return wrong("a digit comes twice");
            }
            *seen = true;
        }
        rest = rest.get(1..).unwrap_or_default();
        if let Some(quoted) = rest.strip_prefix("='") {
            let Some((value, after)) = quoted.split_once('\'') else {
                return wrong("a quote is not closed");
            };
            // "!" / %x23-26 / %x28-5B / %x5D-7E
            let legal = |byte: u8| matches!(byte, 0x21 | 0x23..=0x26 | 0x28..=0x5B | 0x5D..=0x7E);
            if !value.bytes().all(legal) {
                return wrong("a value has characters that cannot be sent");
            }
            rest = after;
        }
        if rest.is_empty() {
            return Ok(());
        }
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return wrong("they are separated by commas"),
        }
    }
}

#[cfg(test)]
mod fit_tests;
#[cfg(test)]
mod tests;
