//! Requests that carry values: Write, Write-Composite and Create.

use super::{ManageError, announced, composite_format, depth, request, set_body};
use crate::coap::{Code, Request};
use crate::domain::{
    ContentFormat, Lwm2mVersion, Node, OperationKind, OperationRequest, Path, Value, ValueType,
};
use crate::lwm2m::Device;
use crate::lwm2m::codec::{self, CodecError};

/// A Write of `scope` by a request on `target`, which is the same or the instance around it.
pub(super) fn write(
    operation: &OperationRequest,
    code: Code,
    target: Path,
    scope: Path,
    device: &Device<'_>,
) -> Result<Request, ManageError> {
    let nodes = writable(&operation.values, &[scope], device)?;
    if nodes.is_empty() {
        return Err(ManageError::impossible(format!(
            "there is no value to write to {scope}"
        )));
    }
    let format = operation.format.unwrap_or_else(|| match nodes.as_slice() {
        [node] if node.path == target => single_format(node, device),
        _ => many_format(device),
    });
    let mut request = request(code, target, device);
    set_body(
        &mut request,
        format,
        codec::encode(format, target, &nodes, device.view())?,
    );
    Ok(request)
}

pub(super) fn write_composite(
    operation: &OperationRequest,
    device: &Device<'_>,
) -> Result<Request, ManageError> {
    let nodes = writable(&operation.values, &operation.paths, device)?;
    if nodes.is_empty() {
        return Err(ManageError::impossible("there is no value to write"));
    }
    let format = composite_format(operation, device);
    if !matches!(format, ContentFormat::SenmlCbor | ContentFormat::SenmlJson) {
        return Err(CodecError::UnsupportedFormat(format.code()).into());
    }
    let mut request = request(Code::IPATCH, Path::ROOT, device);
    set_body(
        &mut request,
        format,
        codec::encode(format, Path::ROOT, &nodes, device.view())?,
    );
    Ok(request)
}

pub(super) fn create(
    operation: &OperationRequest,
    path: Path,
    device: &Device<'_>,
) -> Result<Request, ManageError> {
    depth(path, 1..=2, OperationKind::Create)?;
    let object = path.truncated(1);
    let nodes = writable(&operation.values, &[path], device)?;
    let mut instances: Vec<Path> = nodes.iter().map(|node| node.path.truncated(2)).collect();
    instances.dedup();
    let mut request = request(Code::POST, object, device);
    let device_chooses = path.depth() == 1 && instances.len() <= 1;
    if device_chooses {
        let format = operation.format.unwrap_or(ContentFormat::Tlv);
        if format != ContentFormat::Tlv {
            return Err(ManageError::impossible(format!(
                "{} names instances by their id; only tlv leaves the id to the device",
                format.name()
            )));
        }
        // The instance in the paths of the values only stands in for the one to come.
        let payload = match instances.first() {
            Some(instance) => codec::encode(format, *instance, &nodes, device.view())?,
            None => Vec::new(),
        };
        set_body(&mut request, format, payload);
    } else if let (true, Some(id)) = (nodes.is_empty(), path.instance_id()) {
        set_body(&mut request, ContentFormat::Tlv, codec::empty_instance(id));
    } else {
        let format = operation.format.unwrap_or_else(|| many_format(device));
        set_body(
            &mut request,
            format,
            codec::encode(format, object, &nodes, device.view())?,
        );
    }
    Ok(request)
}

/// The format for one value. Every client reads text; CBOR spares the conversion of numbers.
fn single_format(node: &Node, device: &Device<'_>) -> ContentFormat {
    let opaque = matches!(node.value, Value::Opaque(_));
    if opaque {
        return ContentFormat::Opaque;
    }
    let modern = device.version >= Lwm2mVersion::V1_1;
    modern
        .then(|| announced(device, &[ContentFormat::Cbor, ContentFormat::SenmlCbor]))
        .flatten()
        .unwrap_or(ContentFormat::Text)
}

/// The format for several values. TLV is what nearly every client reads.
fn many_format(device: &Device<'_>) -> ContentFormat {
    let modern = device.version >= Lwm2mVersion::V1_1;
    let known = [
        ContentFormat::SenmlCbor,
        ContentFormat::Tlv,
        ContentFormat::SenmlJson,
    ];
    modern
        .then(|| announced(device, &known))
        .flatten()
        .unwrap_or(ContentFormat::Tlv)
}

/// The values as they are sent: within the scope, of the model's type, without timestamps, sorted.
fn writable(
    values: &[Node],
    scope: &[Path],
    device: &Device<'_>,
) -> Result<Vec<Node>, ManageError> {
    let mut nodes = Vec::with_capacity(values.len());
    for node in values {
        let path = node.path;
        if !scope.iter().any(|scope| scope.contains(&path)) {
            return Err(ManageError::impossible(format!(
                "{path} is not where it is to be written"
            )));
        }
        let (Some(object), Some(resource)) = (path.object_id(), path.resource_id()) else {
            return Err(ManageError::impossible(format!(
                "{path} is no resource, it has no value"
            )));
        };
        let model = device.view().resource(object, resource);
        match model.map(|model| model.multiple) {
            Some(true) if path.depth() == 3 => {
                return Err(ManageError::impossible(format!(
                    "{path} has resource instances; name the one to write, for example {path}/0"
                )));
            }
            Some(false) if path.depth() == 4 => {
                return Err(ManageError::impossible(format!(
                    "{path} cannot be: {} has no resource instances",
                    path.parent()
                )));
            }
            _ => {}
        }
        let value = match model.and_then(|model| model.value_type) {
            Some(wanted) => converted(&node.value, wanted, path)?,
            None => node.value.clone(),
        };
        nodes.push(Node::new(path, value));
    }
    nodes.sort_by_key(|node| node.path);
    if let Some((twice, _)) = nodes
        .iter()
        .zip(nodes.iter().skip(1))
        .find(|(a, b)| a.path == b.path)
    {
        return Err(ManageError::impossible(format!(
            "{} is given twice",
            twice.path
        )));
    }
    Ok(nodes)
}

fn converted(value: &Value, wanted: ValueType, path: Path) -> Result<Value, ManageError> {
    codec::convert(value, wanted).ok_or_else(|| {
        let found = value.value_type();
        ManageError::impossible(format!(
            "{path} is {wanted}; the given {found} cannot become it"
        ))
    })
}
