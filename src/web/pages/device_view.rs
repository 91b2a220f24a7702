//! The objects of a device as its page shows them: what it announced and what it sent, with names,
//! units, types and possible operations from the models. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::meanings::{described_units, meanings};
use super::words;
use crate::domain::{Observation, Path, REGISTRATION_EVENTS, Registration, Timestamp, Value};
use crate::lwm2m::{ModelView, ObjectModel, ResourceModel};
use crate::store::StoredValue;

/// Objects that are about the connection; their tables are closed at first.
const PLUMBING: [u16; 3] = [0, 1, 2];

/// Instances that are open at first, at most.
const MAX_OPEN: usize = 16;

/// The first id of objects that are not about device management: sensors, actuators and such.
const FIRST_APPLICATION_OBJECT: u16 = 3200;

/// The resource that holds the value of most sensors.
const SENSOR_VALUE: u16 = 5700;

/// The resource in which a sensor tells the units of its values, and the values that it is about.
const SENSOR_UNITS: u16 = 5701;
const IN_SENSOR_UNITS: [u16; 5] = [5601, 5602, 5603, 5604, SENSOR_VALUE];

/// An object with its instances.
#[derive(Debug, Serialize)]
pub(super) struct ObjectView {
    id: u16,
    name: String,
    version: Option<String>,
    known: bool,
    /// The version of the model, where the announced one is not known.
    shown_by: Option<String>,
    multiple: bool,
    open: bool,
    instances: Vec<InstanceView>,
}

/// An object instance with its resources.
#[derive(Debug, Serialize)]
struct InstanceView {
    id: u16,
    path: String,
    announced: bool,
    observed: bool,
    resources: Vec<ResourceView>,
    /// Resources of the model that the device has not shown to have.
    hidden: usize,
}

/// A resource with its latest value.
#[derive(Debug, Serialize)]
struct ResourceView {
    id: u16,
    path: String,
    name: String,
    #[serde(rename = "type")]
    value_type: &'static str,
    units: String,
    range: String,
    readable: bool,
    writable: bool,
    executable: bool,
    /// The letters of what may be done with it: `RW`, `E`.
    operations: String,
    multiple: bool,
    mandatory: bool,
    numeric: bool,
    observed: bool,
    shown: bool,
    value: String,
    /// What the value means, where it is a number that stands for something.
    meaning: &'static str,
    /// The words for all such numbers as a JSON object, for the page's script; empty where there are none.
    meanings: String,
    time: Option<Timestamp>,
    values: Vec<InstanceValue>,
}

/// A resource instance with its latest value.
#[derive(Debug, Serialize)]
struct InstanceValue {
    id: u16,
    path: String,
    text: String,
    meaning: &'static str,
}

/// Something that a chart can show.
#[derive(Debug, Serialize)]
pub(super) struct ChartItem {
    path: String,
    label: String,
    units: String,
    #[serde(rename = "type")]
    value_type: &'static str,
    /// The one to show first.
    best: bool,
}

/// The objects of a device, those about the connection last.
pub(super) fn object_views(
    registration: Option<&Registration>,
    latest: &[StoredValue],
    observations: &[Observation],
    models: ModelView<'_>,
) -> Vec<ObjectView> {
    let announced = registration.map_or(&[][..], |registration| &*registration.objects);
    let mut versions: BTreeMap<u16, Option<&str>> = BTreeMap::new();
    let mut instances: BTreeMap<Path, Vec<&StoredValue>> = BTreeMap::new();
    let mut announced_instances = BTreeSet::new();
    for object in announced {
        let Some(id) = object.path.object_id() else {
            continue;
        };
        let version = versions.entry(id).or_default();
        *version = version.or(object.version.as_deref());
        if object.path.depth() == 2 {
            announced_instances.insert(object.path);
            instances.entry(object.path).or_default();
        }
    }
    for value in latest {
        let instance = value.path.truncated(2);
        if instance.object_id() != Some(REGISTRATION_EVENTS) && value.path.depth() >= 3 {
            versions
                .entry(instance.object_id().unwrap_or_default())
                .or_default();
            instances.entry(instance).or_default().push(value);
        }
    }
    let observed: BTreeSet<Path> = observations
        .iter()
        .filter(|observation| !observation.composite)
        .flat_map(|observation| observation.paths.iter().copied())
        .collect();

    let mut open_left = MAX_OPEN;
    let mut views: Vec<ObjectView> = Vec::with_capacity(versions.len());
    for (id, version) in versions {
        let model = models.object(id);
        let of_object = instances
            .iter()
            .filter(|(path, _)| path.object_id() == Some(id));
        let instances: Vec<InstanceView> = of_object
            .map(|(path, values)| InstanceView {
                announced: announced_instances.contains(path)
                    || announced
                        .iter()
                        .any(|object| object.path == path.truncated(1)),
                ..instance_view(*path, model, values, &observed)
            })
            .collect();
        let open = !PLUMBING.contains(&id) && open_left >= instances.len();
        if open {
            open_left = open_left.saturating_sub(instances.len());
        }
        views.push(ObjectView {
            id,
            name: model.map_or_else(|| format!("Object {id}"), |model| model.name.clone()),
            version: version.map(str::to_owned),
            known: model.is_some(),
            shown_by: version.and_then(|_| shown_by(id, models)),
            multiple: model.is_some_and(|model| model.multiple),
            open,
            instances,
        });
    }
    views.sort_by_key(|view| (PLUMBING.contains(&view.id), view.id));
    views
}

/// The version of the model that an object is shown by, where it is another than the device means.
fn shown_by(object: u16, models: ModelView<'_>) -> Option<String> {
    let (model, version) = models.object(object).zip(models.version(object))?;
    (!model.is_version(version)).then(|| model.version.clone())
}

/// What of a device can be drawn: the first value of a sensor is the best, then the first other.
pub(super) fn chart_items(latest: &[StoredValue], models: ModelView<'_>) -> Vec<ChartItem> {
    let numeric: Vec<&StoredValue> = latest
        .iter()
        .filter(|stored| stored.value.value_type().is_numeric())
        .filter(|stored| stored.path.object_id() != Some(REGISTRATION_EVENTS))
        .collect();
    let is_sensor = |stored: &&&StoredValue| {
        stored.path.resource_id() == Some(SENSOR_VALUE)
            && stored.path.object_id() >= Some(FIRST_APPLICATION_OBJECT)
    };
    let best = numeric
        .iter()
        .find(is_sensor)
        .or_else(|| numeric.first())
        .map(|stored| stored.path);
    numeric
        .iter()
        .map(|stored| {
            let object = stored.path.object_id().unwrap_or_default();
            let resource = stored.path.resource_id().unwrap_or_default();
            let model = models.resource(object, resource);
            let object = models
                .object(object)
                .map_or_else(|| format!("Object {object}"), |model| model.name.clone());
            let name = model.map_or_else(
                || format!("resource {resource}"),
                |model| model.name.clone(),
            );
            ChartItem {
                path: stored.path.to_string(),
                label: format!("{object}: {name} ({})", stored.path),
                units: units(stored.path, model, latest.iter()),
                value_type: stored.value.value_type().name(),
                best: best == Some(stored.path),
            }
        })
        .collect()
}

fn instance_view(
    path: Path,
    model: Option<&ObjectModel>,
    values: &[&StoredValue],
    observed: &BTreeSet<Path>,
) -> InstanceView {
    let mut ids: BTreeSet<u16> = values
        .iter()
        .filter_map(|stored| stored.path.resource_id())
        .collect();
    ids.extend(
        model
            .iter()
            .flat_map(|model| model.resources.keys().copied()),
    );
    let resources: Vec<ResourceView> = ids
        .into_iter()
        .filter_map(|id| {
            let resource_path = path.child(id)?;
            let model = model.and_then(|model| model.resources.get(&id));
            let units = units(resource_path, model, values.iter().copied());
            let values: Vec<&StoredValue> = values
                .iter()
                .copied()
                .filter(|stored| resource_path.contains(&stored.path))
                .collect();
            Some(ResourceView {
                units,
                ..resource_view(resource_path, id, model, &values, observed)
            })
        })
        .collect();
    InstanceView {
        id: path.instance_id().unwrap_or_default(),
        path: path.to_string(),
        announced: false,
        observed: observed.contains(&path),
        hidden: resources.iter().filter(|resource| !resource.shown).count(),
        resources,
    }
}

/// The units of the model, or else those that the sensor tells of.
fn units<'a>(
    path: Path,
    model: Option<&ResourceModel>,
    mut values: impl Iterator<Item = &'a StoredValue>,
) -> String {
    if let Some(units) = model.and_then(|model| model.units.as_deref()) {
        return words::units(units).to_owned();
    }
    let described = path.object_id().zip(path.resource_id());
    if let Some(units) = described.and_then(|(object, resource)| described_units(object, resource))
    {
        return units.to_owned();
    }
    let instance = path.truncated(2);
    let told = path
        .resource_id()
        .filter(|id| IN_SENSOR_UNITS.contains(id))
        .and_then(|_| instance.child(SENSOR_UNITS))
        .and_then(|told| values.find(|stored| stored.path == told));
    match told.map(|stored| &stored.value) {
        Some(Value::String(units)) => words::units(units).to_owned(),
        _ => String::new(),
    }
}

fn resource_view(
    path: Path,
    id: u16,
    model: Option<&ResourceModel>,
    values: &[&StoredValue],
    observed: &BTreeSet<Path>,
) -> ResourceView {
    let value_type = model
        .and_then(|model| model.value_type)
        .or_else(|| values.first().map(|stored| stored.value.value_type()));
    let deeper = values.iter().any(|stored| stored.path.depth() == 4);
    let mandatory = model.is_some_and(|model| model.mandatory);
    // Of what no model tells of, a value was seen; it may be tried to read or write it.
    let readable = model.is_none_or(|model| model.operations.readable);
    let writable = model.is_none_or(|model| model.operations.writable);
    let executable = model.is_some_and(|model| model.operations.executable);
    let meanings = meanings(path.object_id().unwrap_or_default(), id);
    let letters = [(readable, 'R'), (writable, 'W'), (executable, 'E')];
    ResourceView {
        id,
        path: path.to_string(),
        name: model.map_or_else(|| format!("Resource {id}"), |model| model.name.clone()),
        value_type: value_type.map_or("", |value_type| value_type.name()),
        units: String::new(),
        range: model
            .and_then(|model| model.range.clone())
            .unwrap_or_default(),
        readable,
        writable,
        executable,
        operations: letters
            .iter()
            .filter(|(may, _)| *may)
            .map(|(_, letter)| letter)
            .collect(),
        multiple: deeper || model.is_some_and(|model| model.multiple),
        mandatory,
        numeric: value_type.is_some_and(|value_type| value_type.is_numeric()),
        observed: observed.contains(&path),
        shown: mandatory || !values.is_empty(),
        value: values
            .iter()
            .find(|stored| stored.path == path)
            .map_or_else(String::new, |stored| words::value(&stored.value)),
        meaning: values
            .iter()
            .find(|stored| stored.path == path)
            .map_or("", |stored| meaning(&stored.value, meanings)),
        meanings: by_number(meanings),
        time: values.iter().map(|stored| stored.time).max(),
        values: values
            .iter()
            .filter_map(|stored| {
                Some(InstanceValue {
                    id: stored.path.resource_instance_id()?,
                    path: stored.path.to_string(),
                    text: words::value(&stored.value),
                    meaning: meaning(&stored.value, meanings),
                })
            })
            .collect(),
    }
}

/// The word for a number; nothing where there is none.
fn meaning(value: &Value, meanings: &[(i64, &'static str)]) -> &'static str {
    let number = match value {
        Value::Integer(number) => Some(*number),
        Value::UnsignedInteger(number) => i64::try_from(*number).ok(),
        _ => None,
    };
    let found = meanings.iter().find(|(one, _)| Some(*one) == number);
    found.map_or("", |(_, word)| word)
}

/// As JSON, for the page's script.
fn by_number(meanings: &[(i64, &str)]) -> String {
    if meanings.is_empty() {
        return String::new();
    }
    let words: serde_json::Map<String, serde_json::Value> = meanings
        .iter()
        .map(|(number, word)| (number.to_string(), (*word).into()))
        .collect();
    serde_json::Value::Object(words).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AnnouncedObject, EndpointName, Lwm2mVersion};
    use crate::lwm2m::Models;

    fn stored(path: &str, value: Value) -> StoredValue {
        let time = Timestamp::from_millis(1_700_000_000_000).expect("a time");
        StoredValue {
            endpoint: EndpointName::new("urn:imei:1").expect("a name"),
            path: path.parse().expect("a path"),
            value,
            time,
            received_at: time,
        }
    }

    #[test]
    fn a_resource_gets_name_units_and_operations_from_the_model() {
        let latest = [
            stored("/3/0/9", Value::Integer(80)),
            stored("/3303/0/5700", Value::Float(21.5)),
            stored("/3303/0/5701", Value::String("Cel".to_owned())),
        ];
        let views = object_views(None, &latest, &[], ModelView::newest(&Models::builtin()));
        assert_eq!(views.len(), 2);
        let temperature = &views[1];
        assert_eq!(temperature.name, "Temperature");
        let value = temperature.instances[0]
            .resources
            .iter()
            .find(|resource| resource.id == 5700)
            .expect("the value");
        assert_eq!(
            (value.name.as_str(), value.value.as_str()),
            ("Sensor Value", "21.5")
        );
        assert_eq!(value.units, "°C");
        assert!(value.readable && !value.writable && value.numeric && value.shown);
        let reboot = views[0].instances[0]
            .resources
            .iter()
            .find(|resource| resource.id == 4)
            .expect("reboot");
        assert!(reboot.executable && reboot.shown && !reboot.readable);
    }

    #[test]
    fn numbers_say_what_they_mean_and_in_which_units() {
        let latest = [
            stored("/3/0/9", Value::Integer(80)),
            stored("/3/0/7/0", Value::Integer(3800)),
            stored("/3/0/6/1", Value::Integer(5)),
            stored("/5/0/3", Value::Integer(1)),
            stored("/5/0/5", Value::Integer(99)),
        ];
        let views = object_views(None, &latest, &[], ModelView::newest(&Models::builtin()));
        let resource = |object: usize, id: u16| {
            let resources = &views[object].instances[0].resources;
            let found = resources.iter().find(|resource| resource.id == id);
            found.expect("the resource")
        };
        assert_eq!(resource(0, 9).units, "%");
        assert_eq!(resource(0, 7).units, "mV");
        assert_eq!(resource(0, 6).values[0].meaning, "USB");
        assert_eq!(resource(1, 3).meaning, "downloading");
        assert!(resource(1, 3).meanings.contains(r#""3":"updating""#));
        // What nobody has defined has no word.
        assert_eq!(resource(1, 5).meaning, "");
        assert_eq!(resource(0, 9).meanings, "");
    }

    #[test]
    fn what_no_model_knows_is_shown_with_its_numbers() {
        let latest = [stored("/65000/1/2/3", Value::String("x".to_owned()))];
        let views = object_views(None, &latest, &[], ModelView::newest(&Models::builtin()));
        assert_eq!(views[0].name, "Object 65000");
        assert!(!views[0].known);
        let resource = &views[0].instances[0].resources[0];
        assert_eq!(
            (resource.name.as_str(), resource.multiple),
            ("Resource 2", true)
        );
        assert_eq!(resource.values[0].text, "x");
    }

    #[test]
    fn a_version_that_is_not_known_is_shown_by_another_and_says_so() {
        let objects = |version: &str| {
            vec![AnnouncedObject {
                path: Path::instance(3303, 0),
                version: Some(version.to_owned()),
            }]
        };
        let (known, unknown) = (objects("1.1"), objects("1.9"));
        let models = Models::builtin();
        let latest = [stored("/3303/0/5700", Value::Float(21.5))];
        let shown_by = |objects: &[AnnouncedObject]| {
            shown_by(
                3303,
                ModelView::announced(&models, Lwm2mVersion::V1_1, objects),
            )
        };
        assert_eq!(shown_by(&known), None);
        assert_eq!(shown_by(&unknown).as_deref(), Some("1.1"));
        let views = object_views(None, &latest, &[], ModelView::newest(&models));
        assert_eq!(views[0].shown_by, None);
    }

    #[test]
    fn the_registration_events_of_the_store_are_nothing_of_the_device() {
        let latest = [stored("/10240/0/0", Value::Time(1))];
        assert!(object_views(None, &latest, &[], ModelView::newest(&Models::builtin())).is_empty());
        assert!(chart_items(&latest, ModelView::newest(&Models::builtin())).is_empty());
    }

    #[test]
    fn a_sensor_is_drawn_first() {
        let latest = [
            stored("/3/0/9", Value::Integer(80)),
            stored("/3/0/15", Value::String("UTC".to_owned())),
            stored("/3303/0/5700", Value::Float(21.5)),
        ];
        let items = chart_items(&latest, ModelView::newest(&Models::builtin()));
        let best: Vec<&str> = items
            .iter()
            .filter(|item| item.best)
            .map(|item| item.path.as_str())
            .collect();
        assert_eq!((items.len(), best), (2, vec!["/3303/0/5700"]));
    }
}
