//! Requests that carry values: Write, Write-Composite and Create.

use super::{ETCH_ELSEWHERE, ManageError, depth, formats, request, set_body};
use crate::coap::{Code, Request};
use crate::domain::{
    ContentFormat, Lwm2mVersion, Node, OperationKind, OperationRequest, Path, Value, ValueType,
};
use crate::lwm2m::codec::{self, Changes, CodecError};
use crate::lwm2m::{Device, fit};

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
    let format = match nodes.as_slice() {
        [node] if node.path == target => {
            formats::for_value(operation, node.value.value_type(), device)?
        }
        _ => formats::for_instances(operation, device)?,
    };
    not_etch(format)?;
    let mut request = request(code, target, device);
    set_body(
        &mut request,
        format,
        device,
        codec::encode(format, target, &nodes, device.view())?,
    );
    Ok(request)
}

pub(super) fn write_composite(
    operation: &OperationRequest,
    device: &Device<'_>,
) -> Result<Request, ManageError> {
    let nodes = writable(&operation.values, &operation.paths, device)?;
    let removed = removable(operation, &nodes, device)?;
    if nodes.is_empty() && removed.is_empty() {
        return Err(ManageError::impossible("there is no value to write"));
    }
    let format = formats::for_composite_write(operation, device)?;
    if !format.is_composite() {
        return Err(CodecError::UnsupportedFormat(format.code()).into());
    }
    let mut request = request(Code::IPATCH, Path::ROOT, device);
    set_body(
        &mut request,
        format,
        device,
        codec::encode_changes(format, &Changes { nodes, removed }, device.view())?,
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
    let device_chooses = path.depth() == 1 && instances.len() <= 1;
    let mut request = request(Code::POST, object, device);
    if device_chooses {
        let format = formats::for_nameless_instance(operation, device)?;
        if format != ContentFormat::Tlv {
            return Err(ManageError::impossible(format!(
                "{} names instances by their id; only tlv leaves the id to the device",
                format.name()
            )));
        }
        // The instance in the paths of the values only stands in for the one to come.
        let instance = instances.first().copied().unwrap_or(object);
        let payload = codec::encode(format, instance, &nodes, device.view())?;
        set_body(&mut request, format, device, payload);
    } else if nodes.is_empty() {
        let format = formats::for_empty_instance(operation, device)?;
        let payload = codec::encode_empty_instance(format, path)?;
        set_body(&mut request, format, device, payload);
    } else {
        let format = formats::for_instances(operation, device)?;
        not_etch(format)?;
        set_body(
            &mut request,
            format,
            device,
            codec::encode(format, object, &nodes, device.view())?,
        );
    }
    Ok(request)
}

fn not_etch(format: ContentFormat) -> Result<(), ManageError> {
    if format.is_etch() {
        return Err(ManageError::impossible(ETCH_ELSEWHERE));
    }
    Ok(())
}

/// The resource instances to remove, sorted.
fn removable(
    operation: &OperationRequest,
    written: &[Node],
    device: &Device<'_>,
) -> Result<Vec<Path>, ManageError> {
    let mut removed = operation.removed.clone();
    removed.sort_unstable();
    removed.dedup();
    if !removed.is_empty() && device.version < Lwm2mVersion::V1_2 {
        return Err(ManageError::NotInVersion {
            what: "the removal of resource instances by a Write-Composite",
            version: device.version,
        });
    }
    for path in &removed {
        let single = device.view().at(path).is_some_and(|model| !model.multiple);
        if path.depth() != 4 || single {
            return Err(ManageError::impossible(format!(
                "{path} is no resource instance; only those can be removed"
            )));
        }
        if !operation.paths.iter().any(|scope| scope.contains(path)) {
            return Err(ManageError::impossible(format!(
                "{path} is not where something is to be removed"
            )));
        }
        if written.iter().any(|node| node.path == *path) {
            return Err(ManageError::impossible(format!(
                "{path} is to be written and removed"
            )));
        }
    }
    Ok(removed)
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
        if let Some(model) = model {
            fit::check_range(path, &value, model).map_err(ManageError::NotPossible)?;
        }
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
