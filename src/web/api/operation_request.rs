//! The JSON of an operation, checked against the object models before anything is stored.
//!
//! What cannot be read is 400 or 422 with the field's name. Whether a device *lets* itself be read
//! or written there is the device's business: its 4.05 is the answer then.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value as Json};
use utoipa::ToSchema;

use crate::domain::{ContentFormat, Node, OperationKind, OperationRequest, Path, Value, ValueType};
use crate::lwm2m::Models;
use crate::web::ApiError;

use super::operation_parameters::{attributes, check_arguments};

/// Paths of one composite operation, at most.
const MAX_PATHS: usize = 100;

/// Values of one operation, at most.
const MAX_VALUES: usize = 1000;

/// What a device is asked to do.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "write", "path": "/3/0/14", "value": "+01:00"}))]
pub struct OperationBody {
    /// One of `read`, `write`, `write_update`, `execute`, `create`, `delete`, `discover`,
    /// `write_attributes`, `observe`, `cancel_observe`, `read_composite`, `write_composite`,
    /// `observe_composite`, `cancel_observe_composite`.
    pub kind: String,
    /// Where, for example `/3/0/9`; composite kinds take `paths`.
    pub path: Option<String>,
    /// Where, for composite kinds.
    pub paths: Option<Vec<String>>,
    /// What to write or create: a value, an object of resource instance ids to values, or for an
    /// object instance an object of resource ids to values.
    #[schema(value_type = Option<serde_json::Value>)]
    pub value: Option<Json>,
    /// What a composite writes: an object of paths to values, or the values of `paths` in order.
    /// null removes a resource instance (LwM2M 1.2).
    /// For a create of several instances: an object of their paths to the values of each.
    #[schema(value_type = Option<serde_json::Value>)]
    pub values: Option<Json>,
    /// The arguments of an Execute as they go over the air, for example `0='text',1`.
    pub arguments: Option<String>,
    /// The attributes to set, for example `{"pmin": 5}`; null removes one.
    #[schema(value_type = Option<std::collections::HashMap<String, serde_json::Value>>)]
    pub attributes: Option<Map<String, Json>>,
    /// One of `text`, `opaque`, `cbor`, `tlv`, `json`, `senml_json`, `senml_cbor`, `lwm2m_cbor`;
    /// for composite kinds also `senml_etch_json` and `senml_etch_cbor`. Chosen by the server when
    /// missing.
    pub format: Option<String>,
    /// For `cancel_observe` and `cancel_observe_composite`: nothing is sent, the device's next
    /// notification is answered with a Reset.
    #[serde(default)]
    pub passive: bool,
    /// For `execute` and `create`: try again also when it may have been done already, because no
    /// answer came.
    #[serde(default)]
    pub repeat: bool,
    /// After so many seconds it is given up as `EXPIRED`.
    #[schema(minimum = 1)]
    pub expires_in_s: Option<u64>,
}

/// Checks everything but `expires_in_s`.
///
/// # Errors
/// 422 with the field that is wrong.
pub fn check(body: &OperationBody, models: &Models) -> Result<OperationRequest, ApiError> {
    let kind: OperationKind = body
        .kind
        .parse()
        .map_err(|error: String| ApiError::invalid("kind", error))?;
    refuse_what_does_not_belong(kind, body)?;
    let Content {
        paths,
        values,
        removed,
    } = match kind {
        OperationKind::WriteComposite => composite_values(body, models)?,
        _ => {
            let paths = check_paths(kind, body.path.as_deref(), body.paths.as_deref())?;
            let values = single_values(kind, &paths, body, models)?;
            Content {
                paths,
                values,
                removed: Vec::new(),
            }
        }
    };
    if values.len().saturating_add(removed.len()) > MAX_VALUES {
        let detail = format!("at most {MAX_VALUES} values at once");
        return Err(ApiError::invalid("values", detail));
    }
    let request = OperationRequest {
        arguments: body.arguments.clone().filter(|text| !text.is_empty()),
        attributes: attributes(kind, &paths, body.attributes.as_ref())?,
        format: check_format(kind, &paths, &values, body.format.as_deref())?,
        passive: body.passive,
        repeat: body.repeat,
        image: None,
        kind,
        paths,
        values,
        removed,
    };
    if let Some(arguments) = &request.arguments {
        check_arguments(arguments)?;
    }
    Ok(request)
}

/// Checks the paths of a kind that reads or writes: how many there are, and how deep they go.
///
/// # Errors
/// 422 with the field that is wrong.
pub(super) fn check_paths(
    kind: OperationKind,
    path: Option<&str>,
    paths: Option<&[String]>,
) -> Result<Vec<Path>, ApiError> {
    let (field, texts): (_, Vec<&str>) = match (path, paths) {
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid(
                "paths",
                "give `path` or `paths`, not both",
            ));
        }
        (Some(path), None) => ("path", vec![path]),
        (None, Some(paths)) => ("paths", paths.iter().map(String::as_str).collect()),
        (None, None) => {
            let field = if is_composite(kind) { "paths" } else { "path" };
            return Err(ApiError::invalid(field, format!("`{field}` is missing")));
        }
    };
    if texts.is_empty() || texts.len() > MAX_PATHS {
        let detail = format!("from 1 to {MAX_PATHS} paths");
        return Err(ApiError::invalid(field, detail));
    }
    if texts.len() > 1 && !is_composite(kind) {
        let detail = format!("{kind} takes one path");
        return Err(ApiError::invalid(field, detail));
    }
    let mut seen = BTreeSet::new();
    for text in texts {
        let path = read_path(field, text)?;
        check_depth(kind, field, &path)?;
        if !seen.insert(path) {
            return Err(ApiError::invalid(field, format!("{path} is there twice")));
        }
    }
    Ok(seen.into_iter().collect())
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

/// How deep the path of a kind may go (OMA-TS-LightweightM2M Core 6.3 and 6.4).
fn check_depth(kind: OperationKind, field: &str, path: &Path) -> Result<(), ApiError> {
    let (depths, wanted): (&[usize], _) = match kind {
        OperationKind::CancelObserveComposite
        | OperationKind::ObserveComposite
        | OperationKind::ReadComposite => (
            &[0, 1, 2, 3, 4],
            "the root, an object, object instance, resource or resource instance",
        ),
        OperationKind::CancelObserve
        | OperationKind::Observe
        | OperationKind::Read
        | OperationKind::WriteAttributes => (
            &[1, 2, 3, 4],
            "an object, object instance, resource or resource instance",
        ),
        OperationKind::Create => (&[1, 2], "an object, or the object instance to make"),
        OperationKind::Delete => (&[2, 4], "an object instance or resource instance"),
        OperationKind::Discover => (&[1, 2, 3], "an object, object instance or resource"),
        OperationKind::Execute => (&[3], "a resource"),
        OperationKind::Write => (
            &[2, 3, 4],
            "an object instance, resource or resource instance",
        ),
        OperationKind::WriteComposite => (
            &[2, 3, 4],
            "an object instance, resource or resource instance",
        ),
        OperationKind::WriteUpdate => (&[2, 3], "an object instance, or a resource with instances"),
    };
    if depths.contains(&path.depth()) {
        return Ok(());
    }
    let detail = format!("{path} cannot be used here: {kind} takes {wanted}");
    Err(ApiError::invalid(field, detail))
}

fn read_path(field: &str, text: &str) -> Result<Path, ApiError> {
    text.parse()
        .map_err(|error: crate::domain::InvalidPath| ApiError::invalid(field, error.to_string()))
}

/// A field that means nothing for a kind is a mistake, not something to be overlooked.
fn refuse_what_does_not_belong(kind: OperationKind, body: &OperationBody) -> Result<(), ApiError> {
    let writes = matches!(
        kind,
        OperationKind::Create
            | OperationKind::Write
            | OperationKind::WriteComposite
            | OperationKind::WriteUpdate
    );
    let fields = [
        ("value", body.value.is_some(), writes),
        ("values", body.values.is_some(), writes),
        (
            "arguments",
            body.arguments.is_some(),
            kind == OperationKind::Execute,
        ),
        (
            "attributes",
            body.attributes.is_some(),
            kind == OperationKind::WriteAttributes,
        ),
        (
            "passive",
            body.passive,
            matches!(
                kind,
                OperationKind::CancelObserve | OperationKind::CancelObserveComposite
            ),
        ),
        ("repeat", body.repeat, !kind.is_repeatable()),
    ];
    for (field, given, belongs) in fields {
        if given && !belongs {
            return Err(ApiError::invalid(
                field,
                format!("{kind} takes no `{field}`"),
            ));
        }
    }
    if body.value.is_some() && body.values.is_some() {
        let detail = "give `value` or `values`, not both";
        return Err(ApiError::invalid("values", detail));
    }
    Ok(())
}

/// The values of a Write or Create.
fn single_values(
    kind: OperationKind,
    paths: &[Path],
    body: &OperationBody,
    models: &Models,
) -> Result<Vec<Node>, ApiError> {
    let creates = kind == OperationKind::Create;
    if !creates && !matches!(kind, OperationKind::Write | OperationKind::WriteUpdate) {
        return Ok(Vec::new());
    }
    let Some(path) = paths.first() else {
        return Ok(Vec::new());
    };
    let (field, json) = match (&body.value, &body.values) {
        (Some(value), _) => ("value", value),
        (None, Some(values)) => ("values", values),
        // An instance whose resources all keep their defaults.
        (None, None) if creates => return Ok(Vec::new()),
        (None, None) => return Err(ApiError::invalid("value", "`value` is missing")),
    };
    if creates
        && let ("values", Json::Object(instances)) = (field, json)
        && instances.keys().any(|key| key.starts_with('/'))
    {
        return several_instances(*path, instances, models);
    }
    // Where the device chooses the instance, its number means nothing; 0 stands for it.
    let base = match path.depth() {
        1 => path.child(0).unwrap_or(*path),
        _ => *path,
    };
    let nodes = nodes_below(field, base, json, models)?;
    if nodes.is_empty() && !creates {
        return Err(ApiError::invalid(field, "there is no value to write"));
    }
    if kind == OperationKind::WriteUpdate && path.depth() == 3 && !json.is_object() {
        let detail = "write_update of a resource takes an object of instance ids to values";
        return Err(ApiError::invalid(field, detail));
    }
    Ok(nodes)
}

/// The values of several instances that one Create makes, by the paths of the instances.
fn several_instances(
    object: Path,
    instances: &Map<String, Json>,
    models: &Models,
) -> Result<Vec<Node>, ApiError> {
    if object.depth() != 1 || instances.len() < 2 {
        let detail = "`values` of a create holds two or more instances of the object that `path` \
                      names; one instance has a `value`";
        return Err(ApiError::invalid("values", detail));
    }
    let mut nodes = Vec::new();
    for (text, value) in instances {
        let instance = read_path("values", text)?;
        if instance.depth() != 2 || !object.contains(&instance) {
            let detail = format!("{instance} is no instance of {object}");
            return Err(ApiError::invalid("values", detail));
        }
        let below = nodes_below("values", instance, value, models)?;
        if below.is_empty() {
            let detail = format!("{instance} has no value; create it by itself");
            return Err(ApiError::invalid("values", detail));
        }
        nodes.extend(below);
    }
    nodes.sort_by_key(|node| node.path);
    Ok(nodes)
}

/// What an operation is about.
struct Content {
    paths: Vec<Path>,
    /// What it writes.
    values: Vec<Node>,
    /// What a Write-Composite removes.
    removed: Vec<Path>,
}

fn composite_values(body: &OperationBody, models: &Models) -> Result<Content, ApiError> {
    let kind = OperationKind::WriteComposite;
    let (field, json) = match (&body.values, &body.value) {
        (Some(values), _) => ("values", values),
        (None, Some(value)) => ("value", value),
        (None, None) => return Err(ApiError::invalid("values", "`values` is missing")),
    };
    let pairs: Vec<(Path, &Json)> = match json {
        Json::Array(list) => {
            let texts = body.paths.as_deref().unwrap_or_default();
            if body.path.is_some() || texts.len() != list.len() {
                let detail = "a list of values needs a list of as many `paths`";
                return Err(ApiError::invalid(field, detail));
            }
            let read = |text: &String| read_path("paths", text);
            let paths = texts.iter().map(read).collect::<Result<Vec<_>, _>>()?;
            paths.into_iter().zip(list).collect()
        }
        Json::Object(object) if body.path.is_none() && body.paths.is_none() => object
            .iter()
            .map(|(path, value)| Ok((read_path(field, path)?, value)))
            .collect::<Result<_, ApiError>>()?,
        Json::Object(_) => {
            let detail = "an object of paths to values needs no `path` or `paths` beside it";
            return Err(ApiError::invalid(field, detail));
        }
        _ => {
            let detail = "an object of paths to values, or a list with as many `paths`";
            return Err(ApiError::invalid(field, detail));
        }
    };
    let texts: Vec<String> = pairs.iter().map(|(path, _)| path.to_string()).collect();
    check_paths(kind, None, Some(&texts))?;
    let mut nodes = Vec::new();
    let mut removed = Vec::new();
    for (path, value) in pairs {
        let before = removed.len();
        let value = without_nulls(field, path, value, &mut removed)?;
        let below = match &value {
            Some(value) => nodes_below(field, path, value, models)?,
            None => Vec::new(),
        };
        if below.is_empty() && removed.len() == before {
            return Err(ApiError::invalid(field, format!("{path} has no value")));
        }
        nodes.extend(below);
    }
    nodes.sort_by_key(|node| node.path);
    removed.sort_unstable();
    if let Some([first, _]) = nodes.windows(2).find_map(|pair| {
        <&[Node; 2]>::try_from(pair)
            .ok()
            .filter(|[a, b]| a.path == b.path)
    }) {
        let detail = format!("{} is there twice", first.path);
        return Err(ApiError::invalid(field, detail));
    }
    if let Some(both) = removed
        .iter()
        .find(|path| nodes.iter().any(|node| node.path == **path))
    {
        let detail = format!("{both} is there twice");
        return Err(ApiError::invalid(field, detail));
    }
    let written = nodes.iter().map(|node| node.path);
    let paths = written.chain(removed.iter().copied()).collect();
    Ok(Content {
        paths,
        values: nodes,
        removed,
    })
}

/// Takes out the nulls of a Write-Composite: each stands for a resource instance that is to go.
fn without_nulls<'a>(
    field: &str,
    path: Path,
    json: &'a Json,
    removed: &mut Vec<Path>,
) -> Result<Option<Cow<'a, Json>>, ApiError> {
    match (path.depth(), json) {
        (4, Json::Null) => {
            removed.push(path);
            Ok(None)
        }
        (3, Json::Object(instances)) if instances.values().any(Json::is_null) => {
            let mut kept = Map::new();
            for (id, value) in instances {
                if value.is_null() {
                    removed.push(child(field, path, id)?);
                } else {
                    kept.insert(id.clone(), value.clone());
                }
            }
            let is_empty = kept.is_empty();
            Ok((!is_empty).then_some(Cow::Owned(Json::Object(kept))))
        }
        _ => Ok(Some(Cow::Borrowed(json))),
    }
}

/// The values of a JSON document at a path of two to four levels.
fn nodes_below(
    field: &str,
    path: Path,
    json: &Json,
    models: &Models,
) -> Result<Vec<Node>, ApiError> {
    if path.depth() == 2 {
        let Json::Object(resources) = json else {
            let detail = format!("{path} takes an object of resource ids to values");
            return Err(ApiError::invalid(field, detail));
        };
        let mut nodes = Vec::new();
        for (id, value) in resources {
            let resource = child(field, path, id)?;
            nodes.extend(nodes_below(field, resource, value, models)?);
        }
        nodes.sort_by_key(|node| node.path);
        return Ok(nodes);
    }
    let model = path
        .object_id()
        .zip(path.resource_id())
        .and_then(|(object, resource)| models.resource(object, resource));
    let wanted = model.and_then(|model| model.value_type);
    let multiple = model.map(|model| model.multiple);
    match (path.depth(), json) {
        (3, Json::Object(instances)) if multiple != Some(false) && instances.is_empty() => {
            let detail = format!("{path} has no instance; a resource without any cannot be sent");
            Err(ApiError::invalid(field, detail))
        }
        (3, Json::Object(instances)) if multiple != Some(false) => {
            let mut nodes = Vec::with_capacity(instances.len());
            for (id, value) in instances {
                let instance = child(field, path, id)?;
                nodes.push(Node::new(instance, typed(field, &instance, value, wanted)?));
            }
            nodes.sort_by_key(|node| node.path);
            Ok(nodes)
        }
        (3, json) if multiple == Some(true) => {
            let found = json.to_string();
            let found: String = found.chars().take(80).collect();
            let detail = format!(
                "{path} has instances: give an object such as {{\"0\": {found}}}, or the path of one"
            );
            Err(ApiError::invalid(field, detail))
        }
        (4, _) if multiple == Some(false) => {
            let detail = format!("{} has no instances", path.parent());
            Err(ApiError::invalid(field, detail))
        }
        _ => Ok(vec![Node::new(path, typed(field, &path, json, wanted)?)]),
    }
}

fn child(field: &str, parent: Path, id: &str) -> Result<Path, ApiError> {
    let canonical = id == "0" || !id.starts_with('0');
    let digits = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    Some(id)
        .filter(|_| canonical && digits)
        .and_then(|id| id.parse().ok())
        .and_then(|id| parent.child(id))
        .ok_or_else(|| {
            let id: String = id.chars().take(64).collect();
            let detail = format!("`{id}` below {parent} is no number from 0 to 65534");
            ApiError::invalid(field, detail)
        })
}

/// A value of the type that the model says, or of the one that the JSON suggests.
fn typed(
    field: &str,
    path: &Path,
    json: &Json,
    wanted: Option<ValueType>,
) -> Result<Value, ApiError> {
    let suggested = match json {
        Json::Bool(_) => Some(ValueType::Boolean),
        Json::Number(number) if number.is_i64() => Some(ValueType::Integer),
        Json::Number(number) if number.is_u64() => Some(ValueType::UnsignedInteger),
        Json::Number(_) => Some(ValueType::Float),
        Json::String(_) => Some(ValueType::String),
        Json::Array(_) | Json::Null | Json::Object(_) => None,
    };
    let Some(wanted) = wanted.or(suggested) else {
        let detail = format!("{path} takes a single value: a string, a number, true or false");
        return Err(ApiError::invalid(field, detail));
    };
    Value::from_json(json, wanted)
        .map_err(|error| ApiError::invalid(field, format!("{path}: {error}")))
}

/// Checks the name of a format: whether there is such a one, and whether it can carry this.
///
/// # Errors
/// 422 naming `format`.
pub(super) fn check_format(
    kind: OperationKind,
    paths: &[Path],
    values: &[Node],
    name: Option<&str>,
) -> Result<Option<ContentFormat>, ApiError> {
    let Some(name) = name else {
        return Ok(None);
    };
    let Some(format) = ContentFormat::ALL
        .into_iter()
        .find(|format| format.name() == name)
    else {
        let known: Vec<&str> = ContentFormat::ALL
            .iter()
            .map(|format| format.name())
            .collect();
        let name: String = name.chars().take(64).collect();
        let detail = format!("`{name}` is none of {}", known.join(", "));
        return Err(ApiError::invalid("format", detail));
    };
    let refuse = |detail: String| Err(ApiError::invalid("format", detail));
    if matches!(
        kind,
        OperationKind::Delete
            | OperationKind::Discover
            | OperationKind::Execute
            | OperationKind::WriteAttributes
    ) {
        return refuse(format!("{kind} takes no `format`"));
    }
    let one_instance = values.iter().all(|node| {
        values
            .first()
            .is_none_or(|first| first.path.truncated(2).contains(&node.path))
    });
    let chosen_by_device =
        kind == OperationKind::Create && one_instance && paths.iter().any(|p| p.depth() == 1);
    if chosen_by_device && format != ContentFormat::Tlv {
        return refuse("only tlv leaves the instance's id to the device".to_owned());
    }
    if is_composite(kind) && !format.is_composite() {
        let detail = "composite kinds take senml_json, senml_cbor, senml_etch_json, \
                      senml_etch_cbor or lwm2m_cbor";
        return refuse(detail.to_owned());
    }
    if format.is_etch() && !is_composite(kind) {
        return refuse(format!("{name} is for composite kinds only"));
    }
    let for_one_value = matches!(
        format,
        ContentFormat::Cbor | ContentFormat::Opaque | ContentFormat::Text
    );
    let of_one_value = paths.iter().all(|path| path.depth() >= 3) && values.len() <= 1;
    if for_one_value && !of_one_value {
        return refuse(format!("{name} holds one value only"));
    }
    let opaque = values
        .iter()
        .all(|node| node.value.value_type() == ValueType::Opaque);
    if format == ContentFormat::Opaque && !opaque {
        return refuse("opaque holds values of type OPAQUE only".to_owned());
    }
    Ok(Some(format))
}

#[cfg(test)]
#[path = "operation_request_tests.rs"]
mod tests;
