//! What devices answer to operations.

use super::{ManageError, formats, holds_one_value, is_composite};
use crate::coap::{Code, Response, number};
use crate::domain::{ContentFormat, Node, OperationKind, OperationRequest, OperationResult, Path};
use crate::lwm2m::register::LINK_FORMAT;
use crate::lwm2m::{Device, codec, link_format};

/// The device's answer as a result; refusals are results too.
///
/// # Errors
/// For answers that do not fit the operation: another success code, a body that cannot be read,
/// values that were not asked for.
pub fn interpret(
    operation: &OperationRequest,
    device: &Device<'_>,
    response: &Response,
) -> Result<OperationResult, ManageError> {
    let code = response.code;
    let mut result = OperationResult {
        code: code.to_string(),
        nodes: Vec::new(),
        links: String::new(),
        location: None,
        note: None,
    };
    if !code.is_response() {
        return Err(ManageError::Unexpected(format!(
            "{code} is no response code"
        )));
    }
    if !code.is_success() {
        return Ok(result);
    }
    let composite = is_composite(operation.kind);
    let expected = match operation.kind {
        OperationKind::Read
        | OperationKind::Observe
        | OperationKind::ReadComposite
        | OperationKind::ObserveComposite
        | OperationKind::Discover => code == Code::CONTENT,
        OperationKind::Create => matches!(code, Code::CREATED | Code::CHANGED),
        _ => code != Code::CONTINUE,
    };
    if !expected {
        let kind = operation.kind;
        return Err(ManageError::Unexpected(format!(
            "{code} is no answer to {kind}"
        )));
    }
    match operation.kind {
        OperationKind::Read
        | OperationKind::Observe
        | OperationKind::ReadComposite
        | OperationKind::ObserveComposite => {
            let asked = formats::for_answer(operation, device);
            result.nodes = values(&operation.paths, composite, asked, device, response)?;
        }
        OperationKind::CancelObserve | OperationKind::CancelObserveComposite => {
            // The observation is over, whatever comes along with the answer.
            let asked = formats::for_answer(operation, device);
            result.nodes =
                values(&operation.paths, composite, asked, device, response).unwrap_or_default();
        }
        OperationKind::Create => result.location = location(device, response),
        OperationKind::Discover => result.links = links(response)?,
        _ => {}
    }
    Ok(result)
}

/// What a refusal says in words (RFC 7252 section 5.5.2), shortened and without control characters.
pub fn diagnostic(response: &Response) -> Option<String> {
    if response.code.is_success()
        || response
            .options
            .content_format()
            .is_some_and(|code| code != 0)
    {
        return None;
    }
    let text = String::from_utf8_lossy(
        response
            .payload
            .get(..MAX_DIAGNOSTIC_BYTES)
            .unwrap_or(&response.payload),
    );
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Reads the values of an answer or notification and checks that they were asked for.
pub(in crate::lwm2m) fn values(
    paths: &[Path],
    composite: bool,
    asked: Option<ContentFormat>,
    device: &Device<'_>,
    response: &Response,
) -> Result<Vec<Node>, ManageError> {
    let base = match paths {
        [path] if !composite => *path,
        _ => Path::ROOT,
    };
    // Without Content-Format it is what was asked for, or else what 1.0 devices mean by nothing.
    let single = base.depth() >= 3;
    let usual = if single {
        ContentFormat::Text
    } else {
        ContentFormat::Tlv
    };
    let format = response
        .options
        .content_format()
        .unwrap_or_else(|| asked.unwrap_or(usual).code());
    if response.payload.is_empty() && !holds_one_value(ContentFormat::from_code(format)) {
        return Ok(Vec::new());
    }
    let nodes =
        codec::decode_reported(format, base, device.root, &response.payload, device.view())?;
    if let Some(node) = nodes
        .iter()
        .find(|node| !paths.iter().any(|path| path.contains(&node.path)))
    {
        let asked: Vec<String> = paths.iter().take(8).map(Path::to_string).collect();
        return Err(ManageError::Unexpected(format!(
            "{} is not among what was asked for ({})",
            node.path,
            asked.join(", ")
        )));
    }
    Ok(nodes)
}

/// The longest diagnostic payload that is kept, in bytes.
const MAX_DIAGNOSTIC_BYTES: usize = 200;

/// The longest text of links that a Discover may bring, in bytes.
const MAX_LINKS_BYTES: usize = 262_144;

/// Where a new instance is: the Location-Path, as an LwM2M path where it is one.
fn location(device: &Device<'_>, response: &Response) -> Option<String> {
    let segments: Vec<&str> = response
        .options
        .all(number::LOCATION_PATH)
        .map(|segment| std::str::from_utf8(segment).ok())
        .collect::<Option<_>>()?;
    if segments.is_empty() {
        return None;
    }
    let location = format!("/{}", segments.join("/"));
    let inner = location.strip_prefix(device.root).unwrap_or(&location);
    match inner.parse::<Path>() {
        Ok(path) => Some(path.to_string()),
        Err(_) => Some(link_format::shown(&location)),
    }
}

/// The links of a Discover, zero bytes replaced.
fn links(response: &Response) -> Result<String, ManageError> {
    let unexpected = |reason: &str| Err(ManageError::Unexpected(reason.to_owned()));
    if response
        .options
        .content_format()
        .is_some_and(|code| code != LINK_FORMAT)
    {
        return unexpected("the answer to discover is not in link format");
    }
    if response.payload.len() > MAX_LINKS_BYTES {
        return unexpected("the answer to discover is too long");
    }
    match std::str::from_utf8(&response.payload) {
        Ok(text) => Ok(text.replace('\0', "\u{FFFD}")),
        Err(_) => unexpected("the answer to discover is no UTF-8"),
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
