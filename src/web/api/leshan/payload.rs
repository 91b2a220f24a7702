//! Leshan's JSON nodes, read into values at paths. What is wrong is named by its place in the
//! document, for example `val./3.instances[0].resources[1].value`.
//!
//! Reading is pure and all or nothing: one node that cannot be read refuses the whole document.

use std::collections::HashSet;

use serde_json::{Map, Value as Json};

use super::scalar::{self, Type, believable_moment, shortened};
use crate::domain::{
    EndpointName, GatewayReport, Node, Path, REGISTRATION_EVENTS, Timestamp, Value,
};
use crate::lwm2m::Models;
use crate::web::ApiError;

/// The largest resource of [`REGISTRATION_EVENTS`] that is an event.
const LAST_REGISTRATION_EVENT: u16 = 2;

/// Reads `{"ep","obj_id","val":NODE}`.
///
/// # Errors
/// 422 with the place of what is wrong.
pub(super) fn single(
    body: &Json,
    models: &Models,
) -> Result<(EndpointName, GatewayReport), ApiError> {
    let body = object_at("", body)?;
    let endpoint = endpoint(body)?;
    let object = number(body, "obj_id", "")?.ok_or_else(|| missing("obj_id"))?;
    let instance = first_number(body, &["obj_inst_id", "obj_instance_id", "instance_id"])?;
    let resource = first_number(body, &["res_id", "resource_id"])?;
    let val = object_at("val", body.get("val").ok_or_else(|| missing("val"))?)?;
    let mut reader = Reader::new(models);
    let time = time(body, "")?;
    let at = Path::instance(object, instance.unwrap_or(0));
    match Kind::of(val, "val")? {
        Kind::Root => {
            let detail = "a root holds several objects: post it to /leshan_api/resource/composite";
            return Err(ApiError::invalid("val.kind", detail));
        }
        Kind::Object => reader.object(val, "val", Some(object), time)?,
        Kind::Instance => {
            reader.instance(val, "val", object, Expected::new(instance, Some(0)), time)?;
        }
        Kind::Single | Kind::Multiple => {
            reader.resource(val, "val", at, Expected::default(), time)?
        }
        Kind::ResourceInstance => {
            let Some(resource) = resource else {
                let detail = "`res_id` is missing: a resource instance is below a resource";
                return Err(ApiError::invalid("res_id", detail));
            };
            let at = child(at, resource, "res_id")?;
            reader.resource_instance(val, "val", at, Expected::default(), time)?;
        }
    }
    Ok((endpoint, reader.report(false)))
}

/// Reads `{"ep","val":{"/3":NODE,…}}`, and `{"ep","val":NODE}` as the documentation of the first
/// flownexus has it.
///
/// # Errors
/// 422 with the place of what is wrong.
pub(super) fn composite(
    body: &Json,
    models: &Models,
) -> Result<(EndpointName, GatewayReport), ApiError> {
    let body = object_at("", body)?;
    let endpoint = endpoint(body)?;
    let val = object_at("val", body.get("val").ok_or_else(|| missing("val"))?)?;
    let mut reader = Reader::new(models);
    let time = time(body, "")?;
    if Kind::is_node(val) {
        let object = number(body, "obj_id", "")?;
        match (Kind::of(val, "val")?, object) {
            (Kind::Root, _) => reader.root(val, "val", time)?,
            (Kind::Object, object) => reader.object(val, "val", object, time)?,
            (Kind::Instance, Some(object)) => {
                let instance = Expected::new(None, Some(0));
                reader.instance(val, "val", object, instance, time)?;
            }
            _ => {
                let detail = "it is not said of which object this is: \
                              put it under its path, such as {\"/3/0\": …}";
                return Err(ApiError::invalid("val", detail));
            }
        }
        return Ok((endpoint, reader.report(true)));
    }
    for (key, json) in val {
        let place = format!("val.{key}");
        let path: Path = key
            .parse()
            .map_err(|error: crate::domain::InvalidPath| invalid(&place, error.to_string()))?;
        // Leshan has null for what the device has no value of.
        if json.is_null() {
            continue;
        }
        let node = object_at(&place, json)?;
        let kind = Kind::of(node, &place)?;
        match (path.ids(), kind) {
            ([], Kind::Root) => reader.root(node, &place, time)?,
            ([object], Kind::Object) => reader.object(node, &place, Some(*object), time)?,
            ([object, instance], Kind::Instance) => {
                let expected = Expected::new(Some(*instance), None);
                reader.instance(node, &place, *object, expected, time)?;
            }
            ([_, _, resource], Kind::Single | Kind::Multiple) => {
                let expected = Expected::new(Some(*resource), None);
                reader.resource(node, &place, path.parent(), expected, time)?;
            }
            ([_, _, _, id], Kind::Single | Kind::ResourceInstance) => {
                let expected = Expected::new(Some(*id), None);
                reader.resource_instance(node, &place, path.parent(), expected, time)?;
            }
            (_, kind) => {
                let detail = format!("{path} is no place for {}", kind.words());
                return Err(invalid(&format!("{place}.kind"), detail));
            }
        }
    }
    Ok((endpoint, reader.report(true)))
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Root,
    Object,
    Instance,
    Multiple,
    Single,
    ResourceInstance,
}

impl Kind {
    /// The member by which each kind is known where `kind` is missing, in Leshan's order.
    const SHAPES: [(&'static str, Self); 5] = [
        ("objects", Self::Root),
        ("instances", Self::Object),
        ("resources", Self::Instance),
        ("values", Self::Multiple),
        ("value", Self::Single),
    ];

    fn is_node(json: &Map<String, Json>) -> bool {
        json.contains_key("kind")
            || Self::SHAPES
                .iter()
                .any(|(name, _)| json.contains_key(*name))
    }

    fn of(json: &Map<String, Json>, place: &str) -> Result<Self, ApiError> {
        let shape = Self::SHAPES
            .iter()
            .find(|(name, _)| json.contains_key(*name))
            .map(|(_, kind)| *kind);
        match json.get("kind") {
            None | Some(Json::Null) => shape.ok_or_else(|| missing(&join(place, "kind"))),
            Some(Json::String(text)) => {
                let known = [
                    ("root", Self::Root),
                    ("obj", Self::Object),
                    ("instance", Self::Instance),
                    ("singleResource", Self::Single),
                    ("multiResource", Self::Multiple),
                    ("resourceInstance", Self::ResourceInstance),
                ];
                let found = known
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(text));
                found.map(|(_, kind)| *kind).ok_or_else(|| {
                    let known: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                    let text = shortened(&Json::from(text.as_str()));
                    let detail = format!("{text} is none of {}", known.join(", "));
                    invalid(&join(place, "kind"), detail)
                })
            }
            Some(other) => {
                let detail = format!("{} is no kind of node", shortened(other));
                Err(invalid(&join(place, "kind"), detail))
            }
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Root => "a root",
            Self::Object => "an object",
            Self::Instance => "an object instance",
            Self::Multiple => "a resource with instances",
            Self::Single => "a resource",
            Self::ResourceInstance => "a resource instance",
        }
    }
}

/// What an id must be where it is given, and what it is where it is not.
#[derive(Clone, Copy, Debug, Default)]
struct Expected {
    exactly: Option<u16>,
    missing: Option<u16>,
}

impl Expected {
    fn new(exactly: Option<u16>, missing: Option<u16>) -> Self {
        Self { exactly, missing }
    }
}

/// Gathers values.
struct Reader<'a> {
    models: &'a Models,
    nodes: Vec<Node>,
    seen: HashSet<(Path, Option<Timestamp>)>,
}

impl<'a> Reader<'a> {
    fn new(models: &'a Models) -> Self {
        Self {
            models,
            nodes: Vec::new(),
            seen: HashSet::new(),
        }
    }

    fn report(self, composite: bool) -> GatewayReport {
        GatewayReport {
            nodes: self.nodes,
            composite,
        }
    }

    fn root(
        &mut self,
        json: &Map<String, Json>,
        place: &str,
        outer: Option<Timestamp>,
    ) -> Result<(), ApiError> {
        let time = time(json, place)?.or(outer);
        self.each(json, place, "objects", Kind::Object, |reader, node, at| {
            reader.object(node, at, None, time)
        })
    }

    fn object(
        &mut self,
        json: &Map<String, Json>,
        place: &str,
        id: Option<u16>,
        outer: Option<Timestamp>,
    ) -> Result<(), ApiError> {
        let object = read_id(json, place, Expected::new(id, None))?;
        let time = time(json, place)?.or(outer);
        self.each(
            json,
            place,
            "instances",
            Kind::Instance,
            |reader, node, at| {
                reader.instance(node, at, object, Expected::new(None, Some(0)), time)
            },
        )
    }

    fn instance(
        &mut self,
        json: &Map<String, Json>,
        place: &str,
        object: u16,
        id: Expected,
        outer: Option<Timestamp>,
    ) -> Result<(), ApiError> {
        let id = read_id(json, place, id)?;
        let time = time(json, place)?.or(outer);
        self.each(
            json,
            place,
            "resources",
            Kind::Single,
            |reader, node, at| {
                reader.resource(
                    node,
                    at,
                    Path::instance(object, id),
                    Expected::default(),
                    time,
                )
            },
        )
    }

    /// The nodes of a list below a node; `wanted` stands for resources of both kinds.
    fn each(
        &mut self,
        json: &Map<String, Json>,
        place: &str,
        member: &str,
        wanted: Kind,
        mut read: impl FnMut(&mut Self, &Map<String, Json>, &str) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let place = join(place, member);
        let list = match json.get(member) {
            Some(Json::Array(list)) => list,
            Some(other) => {
                let detail = format!("{} is no list of nodes", shortened(other));
                return Err(invalid(&place, detail));
            }
            None => return Err(missing(&place)),
        };
        for (index, node) in list.iter().enumerate() {
            let place = format!("{place}[{index}]");
            let node = object_at(&place, node)?;
            let kind = Kind::of(node, &place)?;
            let fits = kind == wanted || (wanted == Kind::Single && kind == Kind::Multiple);
            if !fits {
                let detail = format!("{} is expected here, not {}", wanted.words(), kind.words());
                return Err(invalid(&join(&place, "kind"), detail));
            }
            read(self, node, &place)?;
        }
        Ok(())
    }

    fn resource(
        &mut self,
        json: &Map<String, Json>,
        place: &str,
        instance: Path,
        id: Expected,
        outer: Option<Timestamp>,
    ) -> Result<(), ApiError> {
        let id = read_id(json, place, id)?;
        let path = child(instance, id, &join(place, "id"))?;
        let time = time(json, place)?.or(outer);
        if Kind::of(json, place)? != Kind::Multiple {
            return self.value(json, place, path, time);
        }
        let place_of_values = join(place, "values");
        let values = match json.get("values") {
            Some(values) => object_at(&place_of_values, values)?,
            None => return Err(missing(&place_of_values)),
        };
        let said = read_type(json, place)?;
        for (key, json) in values {
            let place = format!("{place_of_values}.{key}");
            let id = id_text(key).ok_or_else(|| {
                let detail = format!("`{key}` is no resource instance (0 to 65534)");
                invalid(&place, detail)
            })?;
            let path = child(path, id, &place)?;
            self.add(json, &place, said, path, time)?;
        }
        Ok(())
    }

    fn resource_instance(
        &mut self,
        json: &Map<String, Json>,
        place: &str,
        resource: Path,
        id: Expected,
        outer: Option<Timestamp>,
    ) -> Result<(), ApiError> {
        let id = read_id(json, place, id)?;
        let path = child(resource, id, &join(place, "id"))?;
        let time = time(json, place)?.or(outer);
        self.value(json, place, path, time)
    }

    /// The `value` of a node. Executables have none.
    fn value(
        &mut self,
        json: &Map<String, Json>,
        place: &str,
        path: Path,
        time: Option<Timestamp>,
    ) -> Result<(), ApiError> {
        let said = read_type(json, place)?;
        let place = join(place, "value");
        match json.get("value") {
            Some(value) => self.add(value, &place, said, path, time),
            None if said == Type::Unsaid && json.contains_key("type") => Ok(()),
            None => Err(missing(&place)),
        }
    }

    fn add(
        &mut self,
        json: &Json,
        place: &str,
        said: Type,
        path: Path,
        time: Option<Timestamp>,
    ) -> Result<(), ApiError> {
        let node = if is_registration_event(&path) {
            // Written as TIME or INTEGER, and the millisecond matters.
            let at = believable_moment(json)
                .and_then(|at| {
                    at.ok_or_else(|| format!("{} is no moment of this age", shortened(json)))
                })
                .map_err(|error| invalid(place, error))?;
            Node {
                path,
                value: Value::Time(at.as_millis().div_euclid(1000)),
                time: Some(at),
            }
        } else {
            let model = path
                .object_id()
                .zip(path.resource_id())
                .and_then(|(object, resource)| self.models.resource(object, resource))
                .and_then(|model| model.value_type);
            let value = scalar::value(json, said, model).map_err(|error| invalid(place, error))?;
            let Some(value) = value else {
                return Ok(());
            };
            Node { path, value, time }
        };
        if !self.seen.insert((node.path, node.time)) {
            return Err(invalid(place, format!("{path} is there twice")));
        }
        self.nodes.push(node);
        Ok(())
    }
}

fn is_registration_event(path: &Path) -> bool {
    matches!(*path.ids(), [REGISTRATION_EVENTS, _, id] if id <= LAST_REGISTRATION_EVENT)
}

fn endpoint(body: &Map<String, Json>) -> Result<EndpointName, ApiError> {
    match body.get("ep") {
        Some(Json::String(name)) => {
            EndpointName::new(name).map_err(|error| invalid("ep", error.to_string()))
        }
        Some(other) => {
            let detail = format!("{} is no name of an endpoint", shortened(other));
            Err(invalid("ep", detail))
        }
        None => Err(missing("ep")),
    }
}

/// When the values of a node were measured, where it says so.
fn time(json: &Map<String, Json>, place: &str) -> Result<Option<Timestamp>, ApiError> {
    for name in ["timestamp", "time"] {
        if let Some(json) = json.get(name).filter(|json| !json.is_null()) {
            return believable_moment(json).map_err(|error| invalid(&join(place, name), error));
        }
    }
    Ok(None)
}

fn read_type(json: &Map<String, Json>, place: &str) -> Result<Type, ApiError> {
    Type::read(json.get("type")).map_err(|error| invalid(&join(place, "type"), error))
}

fn read_id(json: &Map<String, Json>, place: &str, expected: Expected) -> Result<u16, ApiError> {
    let given = number(json, "id", place)?;
    let place = join(place, "id");
    match (given, expected.exactly) {
        (Some(given), Some(wanted)) if given != wanted => {
            let detail = format!("{given} contradicts {wanted}, which is said outside");
            Err(invalid(&place, detail))
        }
        (Some(id), _) | (None, Some(id)) => Ok(id),
        (None, None) => expected.missing.ok_or_else(|| missing(&place)),
    }
}

/// The first of these that is there.
fn first_number(json: &Map<String, Json>, names: &[&str]) -> Result<Option<u16>, ApiError> {
    for name in names {
        if let Some(id) = number(json, name, "")? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// An id, as a number or as a string of digits.
fn number(json: &Map<String, Json>, name: &str, place: &str) -> Result<Option<u16>, ApiError> {
    let id = match json.get(name) {
        None | Some(Json::Null) => return Ok(None),
        Some(Json::Number(number)) => number.as_u64().and_then(|id| u16::try_from(id).ok()),
        Some(Json::String(text)) => id_text(text),
        Some(_) => None,
    };
    match id.filter(|id| *id <= Path::MAX_ID) {
        Some(id) => Ok(Some(id)),
        None => {
            let found = json.get(name).map(shortened).unwrap_or_default();
            let detail = format!("{found} is no number from 0 to {}", Path::MAX_ID);
            Err(invalid(&join(place, name), detail))
        }
    }
}

fn id_text(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn child(parent: Path, id: u16, place: &str) -> Result<Path, ApiError> {
    parent.child(id).ok_or_else(|| {
        let detail = format!("{id} is no number from 0 to {}", Path::MAX_ID);
        invalid(place, detail)
    })
}

fn object_at<'a>(place: &str, json: &'a Json) -> Result<&'a Map<String, Json>, ApiError> {
    json.as_object().ok_or_else(|| {
        let place = if place.is_empty() { "body" } else { place };
        invalid(place, format!("{} is no JSON object", shortened(json)))
    })
}

fn missing(place: &str) -> ApiError {
    invalid(place, format!("`{place}` is missing"))
}

fn invalid(place: &str, detail: String) -> ApiError {
    ApiError::invalid(place, detail)
}

fn join(place: &str, member: &str) -> String {
    if place.is_empty() {
        member.to_owned()
    } else {
        format!("{place}.{member}")
    }
}

#[cfg(test)]
#[path = "payload_tests.rs"]
mod tests;
