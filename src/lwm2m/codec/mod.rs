//! The payload formats: bytes to typed nodes and back.
//!
//! One file per format; `senml` holds what the SenML formats and the JSON of LwM2M 1.0 share
//! (names, times), `typed` how a value on the wire becomes a value of the model's type. The
//! formats are text/plain (0), opaque (42), CBOR (60), SenML-JSON (110), SenML-CBOR (112), their
//! SenML-ETCH for the requests of composites (320, 322), TLV
//! (11542, 1542 of old clients), JSON (11543, 1543) and LwM2M-CBOR (11544).
//!
//! Policies that hold for every format:
//! * The type comes from the object model. Values are brought to it where that is possible without
//!   loss (the integer 21 for a float, 1 for a boolean). A resource without a model takes the type
//!   that the payload shows; text/plain shows `STRING`, TLV and opaque show `OPAQUE`, so that a
//!   resource does not change its type from message to message.
//! * NaN and the infinities are kept as `FLOAT` where a binary format carries them (TLV, CBOR,
//!   LwM2M-CBOR, SenML-CBOR) and are refused as integer, time or timestamp. They are never written in the text
//!   formats and in SenML (RFC 8428 section 4.3 has no such numbers).
//! * Integers that do not fit into the type of the model are an error, never wrapped; without a
//!   model what lies beyond `i64` is `UNSIGNED_INTEGER`.
//! * Times are seconds. A timestamp outside the years 0 to 9999 is an error. A timestamp below
//!   2^28 s counts from now (RFC 8428 section 4.5.3); as this room knows no now it comes out as
//!   moment near 1970, which [`anchor_times`] turns into the right one.
//! * The end of the input is checked; nesting, records, names and sizes are bounded by the
//!   constants below.

mod cbor;
mod json;
mod lwm2m_cbor;
mod opaque;
mod senml;
mod senml_cbor;
mod senml_json;
mod senml_plain;
mod text;
mod tlv;
mod typed;

use std::time::Duration;

use super::ModelView;
use crate::domain::{ContentFormat, Node, Path, Timestamp, Value, ValueType};

pub use typed::convert;

/// The largest payload that is decoded, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;

/// The largest number of nodes, records or paths in one payload.
pub const MAX_NODES: usize = 10_000;

/// The longest base name or name of a record, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// The deepest nesting of arrays, maps and tags in CBOR; LwM2M needs three levels.
pub const MAX_NESTING: usize = 16;

/// Why bytes are no nodes, or nodes cannot become bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The payload is not what its format demands.
    #[error("the payload is no valid {format}: {reason}")]
    Malformed {
        /// The name of the format.
        format: &'static str,
        /// What is wrong, in words.
        reason: String,
    },
    /// These nodes cannot be expressed in this format.
    #[error("{0}")]
    NotEncodable(String),
    /// A node is not below the path that the payload is about.
    #[error("{path} does not lie within {base}")]
    Outside {
        /// The node's path.
        path: Path,
        /// What the payload is about.
        base: Path,
    },
    /// A limit of this module was reached.
    #[error("the payload has more than {limit} {what}")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
    /// The content format is not known, or not read yet.
    #[error("content format {0} is not supported")]
    UnsupportedFormat(u16),
    /// A value cannot be of the type that the model demands.
    #[error("{found} at {path} is no {wanted}")]
    WrongType {
        /// The node's path.
        path: Path,
        /// The type of the model.
        wanted: ValueType,
        /// What came instead, shortened.
        found: String,
    },
}

impl CodecError {
    fn malformed(format: &'static str, reason: impl Into<String>) -> Self {
        Self::Malformed {
            format,
            reason: reason.into(),
        }
    }
}

/// Reads a payload that is about `base`: nodes sorted by path, those of one path by time. Strict:
/// for whoever is written to, and has to refuse what does not fit.
///
/// # Errors
/// For a format that is not supported, for bytes that are not of the format, for nodes outside of
/// `base`, for values that are not of the model's type, and when a limit is reached.
pub fn decode(
    format: u16,
    base: Path,
    payload: &[u8],
    models: ModelView<'_>,
) -> Result<Vec<Node>, CodecError> {
    let context = Context {
        base,
        root: "",
        models,
        strict: true,
    };
    decode_in(format, payload, &context)
}

/// Like [`decode`], for what a device reports: its names may begin with its alternate root path,
/// and a value that does not fit its model is kept as the type that it came as.
pub fn decode_reported(
    format: u16,
    base: Path,
    root: &str,
    payload: &[u8],
    models: ModelView<'_>,
) -> Result<Vec<Node>, CodecError> {
    let context = Context {
        base,
        root,
        models,
        strict: false,
    };
    decode_in(format, payload, &context)
}

fn decode_in(format: u16, payload: &[u8], context: &Context<'_>) -> Result<Vec<Node>, CodecError> {
    check_size(payload)?;
    let mut nodes = match ContentFormat::from_code(format) {
        Some(ContentFormat::Cbor) => cbor::decode(payload, context),
        Some(ContentFormat::Json) => json::decode(payload, context),
        Some(ContentFormat::Opaque) => opaque::decode(payload, context),
        Some(ContentFormat::SenmlCbor | ContentFormat::SenmlEtchCbor) => {
            senml::resolve(senml_cbor::NAME, senml_cbor::records(payload)?, context)
        }
        Some(ContentFormat::SenmlJson | ContentFormat::SenmlEtchJson) => {
            senml::resolve(senml_json::NAME, senml_json::records(payload)?, context)
        }
        Some(ContentFormat::Lwm2mCbor) => lwm2m_cbor::decode(payload, context),
        Some(ContentFormat::Text) => text::decode(payload, context),
        Some(ContentFormat::Tlv) => tlv::decode(payload, context),
        None => Err(CodecError::UnsupportedFormat(format)),
    }?;
    nodes.sort_by(|left, right| left.path.cmp(&right.path).then(left.time.cmp(&right.time)));
    Ok(nodes)
}

/// Writes nodes as a payload that is about `base`, each value as the type of its model.
///
/// # Errors
/// When a node lies outside of `base` or is no resource or resource instance, when a value cannot
/// become the model's type without loss, and when the format cannot express the nodes: several of
/// them in a format of single values, timestamps outside of SenML and JSON, NaN outside of TLV,
/// CBOR and LwM2M-CBOR.
pub fn encode(
    format: ContentFormat,
    base: Path,
    nodes: &[Node],
    models: ModelView<'_>,
) -> Result<Vec<u8>, CodecError> {
    let typed = typed_nodes(base, nodes, models)?;
    match format {
        ContentFormat::Cbor => cbor::encode(base, &typed),
        ContentFormat::Json => json::encode(base, &typed),
        ContentFormat::Lwm2mCbor => lwm2m_cbor::encode(&typed),
        ContentFormat::Opaque => opaque::encode(base, &typed),
        ContentFormat::SenmlCbor | ContentFormat::SenmlEtchCbor => senml_cbor::encode(base, &typed),
        ContentFormat::SenmlJson | ContentFormat::SenmlEtchJson => senml_json::encode(base, &typed),
        ContentFormat::Text => text::encode(base, &typed),
        ContentFormat::Tlv => tlv::encode(base, &typed),
    }
}

/// The nodes as they are written: within `base`, of their models' types, sorted.
fn typed_nodes(base: Path, nodes: &[Node], models: ModelView<'_>) -> Result<Vec<Node>, CodecError> {
    if nodes.len() > MAX_NODES {
        return Err(CodecError::TooLarge {
            what: "nodes",
            limit: MAX_NODES,
        });
    }
    let mut typed = Vec::with_capacity(nodes.len());
    for node in nodes {
        if !base.contains(&node.path) {
            return Err(CodecError::Outside {
                path: node.path,
                base,
            });
        }
        if node.path.depth() < 3 {
            return Err(CodecError::NotEncodable(format!(
                "{} is no resource",
                node.path
            )));
        }
        let value = match value_type(models, &node.path) {
            Some(wanted) => convert(&node.value, wanted).ok_or_else(|| CodecError::WrongType {
                path: node.path,
                wanted,
                found: typed::shortened(&node.value),
            })?,
            None => node.value.clone(),
        };
        typed.push(Node {
            path: node.path,
            value,
            time: node.time,
        });
    }
    typed.sort_by(|left, right| left.path.cmp(&right.path).then(left.time.cmp(&right.time)));
    Ok(typed)
}

/// Writes the paths of a composite read or observe (OMA-TS-LightweightM2M Core 1.1, 7.4.4).
///
/// # Errors
/// For every format but SenML and SenML-ETCH.
pub fn encode_paths(format: ContentFormat, paths: &[Path]) -> Result<Vec<u8>, CodecError> {
    match format {
        ContentFormat::SenmlCbor | ContentFormat::SenmlEtchCbor => {
            Ok(senml_cbor::encode_paths(paths))
        }
        ContentFormat::SenmlJson | ContentFormat::SenmlEtchJson => {
            Ok(senml_json::encode_paths(paths))
        }
        other => Err(CodecError::UnsupportedFormat(other.code())),
    }
}

/// Reads the paths of a composite read or observe, in their order; values are passed over.
///
/// # Errors
/// For every format but SenML and SenML-ETCH, and for bytes that are not of the format.
pub fn decode_paths(format: u16, payload: &[u8]) -> Result<Vec<Path>, CodecError> {
    check_size(payload)?;
    match ContentFormat::from_code(format) {
        Some(ContentFormat::SenmlCbor | ContentFormat::SenmlEtchCbor) => {
            senml::paths(senml_cbor::NAME, senml_cbor::records(payload)?)
        }
        Some(ContentFormat::SenmlJson | ContentFormat::SenmlEtchJson) => {
            senml::paths(senml_json::NAME, senml_json::records(payload)?)
        }
        _ => Err(CodecError::UnsupportedFormat(format)),
    }
}

/// The body of a Write-Composite, as a device reads it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// What is written.
    pub nodes: Vec<Node>,
    /// The resource instances that go; only SenML-ETCH can say so.
    pub removed: Vec<Path>,
}

/// Reads the body of a Write-Composite.
///
/// # Errors
/// Those of [`decode`], and when anything but a resource instance is to be removed.
pub fn decode_changes(
    format: u16,
    payload: &[u8],
    models: ModelView<'_>,
) -> Result<Changes, CodecError> {
    let context = Context {
        base: Path::ROOT,
        root: "",
        models,
        strict: true,
    };
    check_size(payload)?;
    let mut changes = match ContentFormat::from_code(format) {
        Some(ContentFormat::SenmlEtchCbor) => {
            senml::changes(senml_cbor::NAME, senml_cbor::records(payload)?, &context)?
        }
        Some(ContentFormat::SenmlEtchJson) => {
            senml::changes(senml_json::NAME, senml_json::records(payload)?, &context)?
        }
        _ => Changes {
            nodes: decode_in(format, payload, &context)?,
            removed: Vec::new(),
        },
    };
    changes.nodes.sort_by_key(|node| node.path);
    Ok(changes)
}

/// Writes the body of a Write-Composite.
///
/// # Errors
/// Those of [`encode`], and for removals in any format but SenML-ETCH.
pub fn encode_changes(
    format: ContentFormat,
    changes: &Changes,
    models: ModelView<'_>,
) -> Result<Vec<u8>, CodecError> {
    if changes.removed.is_empty() {
        return encode(format, Path::ROOT, &changes.nodes, models);
    }
    let nodes = typed_nodes(Path::ROOT, &changes.nodes, models)?;
    match format {
        ContentFormat::SenmlEtchCbor => {
            senml_cbor::encode_changes(Path::ROOT, &nodes, &changes.removed)
        }
        ContentFormat::SenmlEtchJson => {
            senml_json::encode_changes(Path::ROOT, &nodes, &changes.removed)
        }
        other => Err(CodecError::NotEncodable(format!(
            "{} cannot remove resource instances; senml_etch_json and senml_etch_cbor can",
            other.name()
        ))),
    }
}

/// The body of a Create, as a device reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateBody {
    /// The instances to make, sorted; empty when the device is to choose the id.
    pub instances: Vec<u16>,
    /// Their values. When the device is to choose, the instance id in their paths is 0 and means
    /// nothing.
    pub nodes: Vec<Node>,
}

/// Reads the body of a Create on an object.
///
/// # Errors
/// Those of [`decode`].
pub fn decode_create(
    format: u16,
    object: u16,
    payload: &[u8],
    models: ModelView<'_>,
) -> Result<CreateBody, CodecError> {
    let nodes = if payload.is_empty() {
        Vec::new()
    } else {
        decode(format, Path::object(object), payload, models)?
    };
    let mut instances = match ContentFormat::from_code(format) {
        Some(ContentFormat::Lwm2mCbor) => lwm2m_cbor::instances(payload, object),
        Some(ContentFormat::Tlv) => tlv::instances(payload),
        _ => nodes
            .iter()
            .filter_map(|node| node.path.instance_id())
            .collect(),
    };
    instances.sort_unstable();
    instances.dedup();
    Ok(CreateBody { instances, nodes })
}

/// Writes an object instance without values, for a Create that only names the id.
///
/// # Errors
/// For every format but TLV and LwM2M-CBOR: the others name values.
pub fn encode_empty_instance(format: ContentFormat, instance: Path) -> Result<Vec<u8>, CodecError> {
    match format {
        ContentFormat::Lwm2mCbor => Ok(lwm2m_cbor::empty_instance(instance)),
        ContentFormat::Tlv => Ok(tlv::empty_instance(instance)),
        other => Err(CodecError::NotEncodable(format!(
            "{} has no word for an instance without values; tlv and lwm2m_cbor have",
            other.name()
        ))),
    }
}

/// Fails when two readers of one format read something differently, for the fuzzer.
pub(super) fn agree(payload: &[u8]) {
    senml_plain::agrees(payload);
}

/// Turns timestamps that count from now (below 2^28 s, RFC 8428 section 4.5.3) into moments.
pub fn anchor_times(nodes: &mut [Node], now: Timestamp) {
    for time in nodes.iter_mut().filter_map(|node| node.time.as_mut()) {
        let millis = time.as_millis();
        if millis < RELATIVE_BELOW_MILLIS {
            *time = if millis < 0 {
                Timestamp::clamped_from_millis(now.as_millis().saturating_add(millis))
            } else {
                now.plus(Duration::from_millis(millis.unsigned_abs()))
            };
        }
    }
}

/// Timestamps below 2^28 seconds count from now (RFC 8428 section 4.5.3).
const RELATIVE_BELOW_MILLIS: i64 = (1 << 28) * 1000;

/// What every decoder needs to know.
#[derive(Clone, Copy)]
struct Context<'a> {
    /// What the payload is about.
    base: Path,
    /// The alternate root path of the device, or empty.
    root: &'a str,
    models: ModelView<'a>,
    /// Whether a value that does not fit its model is an error, or kept as it came.
    strict: bool,
}

impl Context<'_> {
    /// The value as its model wants it, or as it came where that is allowed.
    fn fit(
        &self,
        fitting: Result<Value, CodecError>,
        as_it_came: impl FnOnce() -> Option<Value>,
    ) -> Result<Value, CodecError> {
        match fitting {
            Err(CodecError::WrongType {
                path,
                wanted,
                found,
            }) if !self.strict => as_it_came().ok_or(CodecError::WrongType {
                path,
                wanted,
                found,
            }),
            result => result,
        }
    }

    /// The type of what lies at a path, if there is a model.
    fn value_type(&self, path: &Path) -> Option<ValueType> {
        value_type(self.models, path)
    }

    /// The path of a payload that holds a single value.
    fn single(&self, format: &'static str) -> Result<Path, CodecError> {
        if self.base.depth() < 3 {
            return Err(CodecError::malformed(
                format,
                format!("it holds one value, but {} is no resource", self.base),
            ));
        }
        Ok(self.base)
    }
}

fn value_type(models: ModelView<'_>, path: &Path) -> Option<ValueType> {
    models.at(path)?.value_type
}

fn check_size(payload: &[u8]) -> Result<(), CodecError> {
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(CodecError::TooLarge {
            what: "bytes",
            limit: MAX_PAYLOAD_BYTES,
        });
    }
    Ok(())
}

/// The value of a payload that can hold only one: exactly one node, at `base`, without a time.
fn only_value<'a>(
    format: &'static str,
    base: Path,
    nodes: &'a [Node],
) -> Result<&'a Value, CodecError> {
    match nodes {
        [node] if node.path == base => {
            if node.time.is_some() {
                return Err(no_time(format));
            }
            Ok(&node.value)
        }
        _ => Err(CodecError::NotEncodable(format!(
            "{format} holds exactly one value of a resource or resource instance, not what is at {base}"
        ))),
    }
}

fn no_time(format: &'static str) -> CodecError {
    CodecError::NotEncodable(format!("{format} cannot carry a timestamp"))
}

fn not_finite(format: &'static str) -> CodecError {
    CodecError::NotEncodable(format!("{format} has no number for NaN and the infinities"))
}

#[cfg(test)]
mod etch_tests;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod range_tests;
#[cfg(test)]
mod round_trips;
#[cfg(test)]
mod single_value_tests;
#[cfg(test)]
mod tests;
