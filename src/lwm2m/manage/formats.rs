//! Which content format goes out when the operation names none.
//!
//! For an answer (Accept) and for a body (Content-Format) separately: the first of a list of steps,
//! at the end of this file, that the device announced or that devices of its version are likely to
//! speak, and that it has not refused with 4.06 or 4.15. What the operation names is used whatever
//! was refused.
//!
//! * An answer may be left to the device: LwM2M 1.0 devices and those that announced nothing are
//!   not asked for a format, as a client may refuse one that it does not know; the others are not
//!   asked any more once they have refused everything.
//! * A body needs a format. When all of them were refused, nothing can be sent and the error says so.

use std::collections::BTreeSet;

use super::ManageError;
use crate::coap::{Code, Request};
use crate::domain::{
    ContentFormat, Lwm2mVersion, OperationKind, OperationRequest, Path, RefusedFormats, ValueType,
};
use crate::lwm2m::Device;
use Step::{Announced, AnnouncedIn12, Anyway};

/// The content formats of one request, by their numbers: what its answer is asked to have and what
/// its body is in. Kept by whoever sent it, to learn from a refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsedFormats {
    /// The Accept option.
    pub accept: Option<u16>,
    /// The Content-Format option.
    pub content: Option<u16>,
}

/// The formats that went out in a request.
pub fn used(request: &Request) -> UsedFormats {
    UsedFormats {
        accept: request.options.accept(),
        content: request.options.content_format(),
    }
}

impl UsedFormats {
    /// Remembers what the answer to a request with these formats says of them: 4.06 refuses the
    /// Accept, 4.15 the Content-Format.
    ///
    /// True when that is news, and building the request once more brings another format or says
    /// that there is none. False, and nothing is remembered, for every other code and for formats
    /// that were not chosen here: the operation named them or its kind leaves no choice.
    pub fn learn(
        self,
        operation: &OperationRequest,
        code: Code,
        refused: &mut RefusedFormats,
    ) -> bool {
        let no_choice = matches!(
            operation.kind,
            OperationKind::Discover
                | OperationKind::Execute
                | OperationKind::Delete
                | OperationKind::WriteAttributes
        );
        if operation.format.is_some() || no_choice {
            return false;
        }
        match (code, self.accept, self.content) {
            (Code::NOT_ACCEPTABLE, Some(accept), _) => refused.refuse_accept(accept),
            (Code::UNSUPPORTED_CONTENT_FORMAT, _, Some(content)) => refused.refuse_content(content),
            _ => false,
        }
    }
}

/// The number that stands for a format towards this device: 1542 and 1543 for those of its age that
/// announced only these.
pub(super) fn number(format: ContentFormat, device: &Device<'_>) -> u16 {
    let code = format.code();
    if device.formats.contains(&code) {
        return code;
    }
    device
        .formats
        .iter()
        .copied()
        .find(|announced| ContentFormat::from_code(*announced) == Some(format))
        .unwrap_or(code)
}

/// The format to ask an answer to be in; none leaves it to the device.
pub(super) fn for_answer(
    operation: &OperationRequest,
    device: &Device<'_>,
) -> Option<ContentFormat> {
    if operation.format.is_some() {
        return operation.format.map(ContentFormat::of_answers);
    }
    if super::is_composite(operation.kind) {
        // As the paths are, so that a device needs one format only.
        let order = match for_paths(operation, device) {
            Ok(ContentFormat::SenmlEtchJson | ContentFormat::SenmlJson) => JSON_ANSWERS,
            _ => CBOR_ANSWERS,
        };
        return choose(order, &device.refused.accept, device);
    }
    if device.version == Lwm2mVersion::V1_0 {
        return None;
    }
    let order = match operation.paths.as_slice() {
        [path] if is_single(*path, device) => match value_type(*path, device) {
            Some(ValueType::Opaque) => OPAQUE_ANSWERS,
            _ => SINGLE_ANSWERS,
        },
        _ => BULKY_ANSWERS,
    };
    let one_was_announced = order
        .iter()
        .any(|step| matches!(step, Announced(_)) && device.announces(step.format()));
    one_was_announced
        .then(|| choose(order, &device.refused.accept, device))
        .flatten()
}

/// The format of the paths of a composite read or observation.
pub(super) fn for_paths(
    operation: &OperationRequest,
    device: &Device<'_>,
) -> Result<ContentFormat, ManageError> {
    match operation.format {
        // It has no form for paths alone; what is asked for is the answer.
        Some(ContentFormat::Lwm2mCbor) => choose(PATHS, &device.refused.content, device)
            .ok_or_else(|| everything_refused(PATHS, device)),
        _ => named_or(operation, PATHS, device),
    }
}

/// The format of a Write-Composite.
pub(super) fn for_composite_write(
    operation: &OperationRequest,
    device: &Device<'_>,
) -> Result<ContentFormat, ManageError> {
    let order = if operation.removed.is_empty() {
        COMPOSITES
    } else {
        REMOVALS
    };
    named_or(operation, order, device)
}

/// The format of one value.
pub(super) fn for_value(
    operation: &OperationRequest,
    value_type: ValueType,
    device: &Device<'_>,
) -> Result<ContentFormat, ManageError> {
    let order = if value_type == ValueType::Opaque {
        OPAQUES
    } else {
        VALUES
    };
    named_or(operation, order, device)
}

/// The format of several values of one object.
pub(super) fn for_instances(
    operation: &OperationRequest,
    device: &Device<'_>,
) -> Result<ContentFormat, ManageError> {
    named_or(operation, INSTANCES, device)
}

/// The format of an instance without values.
pub(super) fn for_empty_instance(
    operation: &OperationRequest,
    device: &Device<'_>,
) -> Result<ContentFormat, ManageError> {
    named_or(operation, EMPTY_INSTANCES, device)
}

/// The format of an instance whose id the device is to choose.
pub(super) fn for_nameless_instance(
    operation: &OperationRequest,
    device: &Device<'_>,
) -> Result<ContentFormat, ManageError> {
    named_or(operation, NAMELESS_INSTANCES, device)
}

fn named_or(
    operation: &OperationRequest,
    order: &[Step],
    device: &Device<'_>,
) -> Result<ContentFormat, ManageError> {
    operation
        .format
        .or_else(|| choose(order, &device.refused.content, device))
        .ok_or_else(|| everything_refused(order, device))
}

fn everything_refused(order: &[Step], device: &Device<'_>) -> ManageError {
    let tried = order.iter().map(|step| number(step.format(), device));
    let refused: BTreeSet<u16> = tried
        .filter(|format| device.refused.content.contains(format))
        .collect();
    ManageError::EverythingRefused {
        formats: shown(&refused),
    }
}

/// The first step that can be taken.
fn choose(order: &[Step], refused: &BTreeSet<u16>, device: &Device<'_>) -> Option<ContentFormat> {
    let possible = |step: &Step| match step {
        Announced(format) => {
            let known = device.version >= Lwm2mVersion::V1_1 || exists(*format, device.version);
            known && device.announces(*format)
        }
        AnnouncedIn12(format) => device.version >= Lwm2mVersion::V1_2 && device.announces(*format),
        Anyway(format) => exists(*format, device.version),
    };
    order
        .iter()
        .filter(|step| possible(step))
        .map(|step| step.format())
        .find(|format| !refused.contains(&number(*format, device)))
}

/// Whether a version of LwM2M has a format.
fn exists(format: ContentFormat, version: Lwm2mVersion) -> bool {
    let since = match format {
        ContentFormat::Json | ContentFormat::Opaque | ContentFormat::Text | ContentFormat::Tlv => {
            Lwm2mVersion::V1_0
        }
        ContentFormat::Cbor
        | ContentFormat::SenmlCbor
        | ContentFormat::SenmlEtchCbor
        | ContentFormat::SenmlEtchJson
        | ContentFormat::SenmlJson => Lwm2mVersion::V1_1,
        ContentFormat::Lwm2mCbor => Lwm2mVersion::V1_2,
    };
    version >= since
}

fn is_single(path: Path, device: &Device<'_>) -> bool {
    let one = |multiple: bool| path.depth() == 4 || path.depth() == 3 && !multiple;
    one(device.view().at(&path).is_some_and(|model| model.multiple))
}

fn value_type(path: Path, device: &Device<'_>) -> Option<ValueType> {
    device.view().at(&path)?.value_type
}

/// The refused formats in words: `112 (senml_cbor)`.
fn shown(formats: &BTreeSet<u16>) -> String {
    let named = |code: &u16| match ContentFormat::from_code(*code) {
        Some(format) => format!("{code} ({})", format.name()),
        None => code.to_string(),
    };
    let formats: Vec<String> = formats.iter().map(named).collect();
    formats.join(", ")
}

/// One of the steps to a format.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// If the device announced it.
    Announced(ContentFormat),
    /// If the device announced it and speaks LwM2M 1.2.
    AnnouncedIn12(ContentFormat),
    /// If its version of LwM2M has it.
    Anyway(ContentFormat),
}

impl Step {
    fn format(self) -> ContentFormat {
        match self {
            Announced(format) | AnnouncedIn12(format) | Anyway(format) => format,
        }
    }
}

/// The shortest first.
const BULKY_ANSWERS: &[Step] = &[
    AnnouncedIn12(ContentFormat::Lwm2mCbor),
    Announced(ContentFormat::SenmlCbor),
    Announced(ContentFormat::SenmlJson),
    Announced(ContentFormat::Tlv),
    Announced(ContentFormat::Json),
    Announced(ContentFormat::Lwm2mCbor),
    Anyway(ContentFormat::SenmlCbor),
    Anyway(ContentFormat::SenmlJson),
    Anyway(ContentFormat::Tlv),
    Anyway(ContentFormat::Json),
    Anyway(ContentFormat::Lwm2mCbor),
];

const SINGLE_ANSWERS: &[Step] = &[
    Announced(ContentFormat::SenmlCbor),
    Announced(ContentFormat::SenmlJson),
    Announced(ContentFormat::Tlv),
    Announced(ContentFormat::Cbor),
    Announced(ContentFormat::Json),
    Announced(ContentFormat::Lwm2mCbor),
    Anyway(ContentFormat::Text),
    Anyway(ContentFormat::Cbor),
    Anyway(ContentFormat::Tlv),
    Anyway(ContentFormat::SenmlCbor),
    Anyway(ContentFormat::SenmlJson),
    Anyway(ContentFormat::Json),
    Anyway(ContentFormat::Lwm2mCbor),
];

const OPAQUE_ANSWERS: &[Step] = &[
    Announced(ContentFormat::SenmlCbor),
    Announced(ContentFormat::SenmlJson),
    Announced(ContentFormat::Tlv),
    Announced(ContentFormat::Cbor),
    Announced(ContentFormat::Json),
    Announced(ContentFormat::Lwm2mCbor),
    Anyway(ContentFormat::Opaque),
    Anyway(ContentFormat::Cbor),
    Anyway(ContentFormat::Tlv),
    Anyway(ContentFormat::SenmlCbor),
    Anyway(ContentFormat::SenmlJson),
    Anyway(ContentFormat::Json),
    Anyway(ContentFormat::Lwm2mCbor),
];

/// To paths in SenML-CBOR.
const CBOR_ANSWERS: &[Step] = &[
    AnnouncedIn12(ContentFormat::Lwm2mCbor),
    Announced(ContentFormat::SenmlCbor),
    Announced(ContentFormat::SenmlJson),
    Announced(ContentFormat::Lwm2mCbor),
    Anyway(ContentFormat::SenmlCbor),
    Anyway(ContentFormat::SenmlJson),
    Anyway(ContentFormat::Lwm2mCbor),
];

/// To paths in SenML-JSON.
const JSON_ANSWERS: &[Step] = &[
    AnnouncedIn12(ContentFormat::Lwm2mCbor),
    Announced(ContentFormat::SenmlJson),
    Announced(ContentFormat::SenmlCbor),
    Announced(ContentFormat::Lwm2mCbor),
    Anyway(ContentFormat::SenmlJson),
    Anyway(ContentFormat::SenmlCbor),
    Anyway(ContentFormat::Lwm2mCbor),
];

/// SenML is older than SenML-ETCH and means the same here.
const PATHS: &[Step] = &[
    Announced(ContentFormat::SenmlCbor),
    Announced(ContentFormat::SenmlJson),
    Announced(ContentFormat::SenmlEtchCbor),
    Announced(ContentFormat::SenmlEtchJson),
    Anyway(ContentFormat::SenmlCbor),
    Anyway(ContentFormat::SenmlJson),
    Anyway(ContentFormat::SenmlEtchCbor),
    Anyway(ContentFormat::SenmlEtchJson),
];

const COMPOSITES: &[Step] = &[
    Announced(ContentFormat::SenmlCbor),
    Announced(ContentFormat::SenmlJson),
    Announced(ContentFormat::SenmlEtchCbor),
    Announced(ContentFormat::SenmlEtchJson),
    Announced(ContentFormat::Lwm2mCbor),
    Anyway(ContentFormat::SenmlCbor),
    Anyway(ContentFormat::SenmlJson),
    Anyway(ContentFormat::SenmlEtchCbor),
    Anyway(ContentFormat::SenmlEtchJson),
    Anyway(ContentFormat::Lwm2mCbor),
];

/// A null that removes exists in SenML-ETCH alone.
const REMOVALS: &[Step] = &[
    Announced(ContentFormat::SenmlEtchCbor),
    Announced(ContentFormat::SenmlEtchJson),
    Anyway(ContentFormat::SenmlEtchCbor),
    Anyway(ContentFormat::SenmlEtchJson),
];

/// CBOR spares the conversion of numbers; text is what every client reads.
const VALUES: &[Step] = &[
    Announced(ContentFormat::Cbor),
    Announced(ContentFormat::SenmlCbor),
    Anyway(ContentFormat::Text),
    Announced(ContentFormat::Tlv),
    Announced(ContentFormat::SenmlJson),
    Announced(ContentFormat::Lwm2mCbor),
    Announced(ContentFormat::Json),
    Anyway(ContentFormat::Tlv),
    Anyway(ContentFormat::Cbor),
    Anyway(ContentFormat::SenmlCbor),
    Anyway(ContentFormat::SenmlJson),
    Anyway(ContentFormat::Json),
    Anyway(ContentFormat::Lwm2mCbor),
];

/// The bytes as they are; every client reads that.
const OPAQUES: &[Step] = &[
    Anyway(ContentFormat::Opaque),
    Announced(ContentFormat::Cbor),
    Announced(ContentFormat::SenmlCbor),
    Announced(ContentFormat::Tlv),
    Announced(ContentFormat::SenmlJson),
    Announced(ContentFormat::Lwm2mCbor),
    Announced(ContentFormat::Json),
    Anyway(ContentFormat::Tlv),
    Anyway(ContentFormat::Cbor),
    Anyway(ContentFormat::SenmlCbor),
    Anyway(ContentFormat::SenmlJson),
    Anyway(ContentFormat::Text),
    Anyway(ContentFormat::Json),
    Anyway(ContentFormat::Lwm2mCbor),
];

/// TLV is what nearly every client reads.
const INSTANCES: &[Step] = &[
    Announced(ContentFormat::SenmlCbor),
    Announced(ContentFormat::Lwm2mCbor),
    Announced(ContentFormat::Tlv),
    Announced(ContentFormat::SenmlJson),
    Announced(ContentFormat::Json),
    Anyway(ContentFormat::Tlv),
    Anyway(ContentFormat::SenmlCbor),
    Anyway(ContentFormat::SenmlJson),
    Anyway(ContentFormat::Json),
    Anyway(ContentFormat::Lwm2mCbor),
];

/// SenML and JSON name values; they have no word for an instance without any.
const EMPTY_INSTANCES: &[Step] = &[
    Announced(ContentFormat::Tlv),
    Announced(ContentFormat::Lwm2mCbor),
    Anyway(ContentFormat::Tlv),
    Anyway(ContentFormat::Lwm2mCbor),
];

/// The names of every other format begin with the id of the instance.
const NAMELESS_INSTANCES: &[Step] = &[Anyway(ContentFormat::Tlv)];

#[cfg(test)]
#[path = "formats_tests.rs"]
mod tests;
