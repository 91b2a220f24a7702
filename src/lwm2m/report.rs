//! What devices tell on their own: notifications (OMA-TS-LightweightM2M Core 6.4) and Send (6.4.6).
//!
//! Timestamps are kept as they came; [`super::codec::anchor_times`] resolves those that count from
//! now.

use super::Device;
use super::codec::{self, CodecError};
use super::manage::{self, ManageError};
use super::register::Refusal;
use crate::coap::{Code, Request, Response};
use crate::domain::{ContentFormat, Node, Path};

/// The values of a notification about `paths`, sorted by path and time.
///
/// # Errors
/// [`ManageError::Refused`] when it tells that the observation is over; another error when its body
/// cannot be read or holds what is not observed.
pub fn notification(
    paths: &[Path],
    composite: bool,
    device: &Device<'_>,
    response: &Response,
) -> Result<Vec<Node>, ManageError> {
    if !response.code.is_success() {
        return Err(ManageError::Refused {
            code: response.code,
        });
    }
    let asked = composite.then_some(ContentFormat::SenmlCbor);
    manage::values(paths, composite, asked, device, response)
}

/// The values of a Send, sorted by path and time.
///
/// # Errors
/// 4.15 for formats other than SenML and LwM2M-CBOR, 4.00 for a body that cannot be read or holds no value (K3).
pub fn send(request: &Request, device: &Device<'_>) -> Result<Vec<Node>, Refusal> {
    let Some(code) = request.options.content_format() else {
        return Err(Refusal::new(
            Code::BAD_REQUEST,
            "a Send needs a Content-Format",
        ));
    };
    let format = ContentFormat::from_code(code);
    if !matches!(
        format,
        Some(ContentFormat::Lwm2mCbor | ContentFormat::SenmlCbor | ContentFormat::SenmlJson)
    ) {
        let reason = CodecError::UnsupportedFormat(code).to_string();
        return Err(Refusal::new(Code::UNSUPPORTED_CONTENT_FORMAT, reason));
    }
    let nodes = codec::decode_reported(
        code,
        Path::ROOT,
        device.root,
        &request.payload,
        device.view(),
    )
    .map_err(|error| Refusal::new(Code::BAD_REQUEST, error.to_string()))?;
    if nodes.is_empty() {
        return Err(Refusal::new(
            Code::BAD_REQUEST,
            "a Send needs at least one value",
        ));
    }
    Ok(nodes)
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
