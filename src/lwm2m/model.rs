//! Object models: which resources an object has, and of which type they are.
//!
//! The built-in table is a text file that is part of the binary ([`Models::builtin`]); models that
//! come later, for example from uploaded definitions ([`super::ddf`]), are added by
//! [`Models::insert_uploaded`] and take the place of a built-in one of the same id and version.
//! Several versions of one object may be known at a time.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{Lwm2mVersion, ValueType};

/// Every object model that is known.
#[derive(Clone, Debug, Default)]
pub struct Models {
    /// The versions of each object, the oldest first; never an empty list.
    objects: BTreeMap<u16, Vec<ObjectModel>>,
    /// Object ids and versions of those that were uploaded.
    uploaded: BTreeSet<(u16, String)>,
}

/// One version of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectModel {
    /// The object id.
    pub id: u16,
    /// Its name, for example `Device`.
    pub name: String,
    /// The version of the object, for example `1.1`.
    pub version: String,
    /// True when a device may have several instances of it.
    pub multiple: bool,
    /// True when a device must have it.
    pub mandatory: bool,
    /// Its resources by id.
    pub resources: BTreeMap<u16, ResourceModel>,
}

/// A resource of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceModel {
    /// The resource id.
    pub id: u16,
    /// Its name, for example `Battery Level`.
    pub name: String,
    /// What a server may do with it.
    pub operations: Operations,
    /// True when it has resource instances.
    pub multiple: bool,
    /// True when each object instance must have it.
    pub mandatory: bool,
    /// Its type; none for what can only be executed.
    pub value_type: Option<ValueType>,
    /// The values that are allowed, in the notation of the registry, for example `0..100`.
    pub range: Option<String>,
    /// The unit of measure.
    pub units: Option<String>,
}

/// What a server may do with a resource; nothing at all for those that only bootstrapping sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    /// It can be read and observed.
    pub readable: bool,
    /// It can be written.
    pub writable: bool,
    /// It can be executed.
    pub executable: bool,
}

impl Models {
    /// The objects of the OMA registry and our own.
    pub fn builtin() -> Self {
        Self::parse(BUILTIN)
    }

    /// The model of an object: the given version of it, or else the newest of the same major
    /// version, or else the newest.
    pub fn object(&self, id: u16, version: Option<&str>) -> Option<&ObjectModel> {
        let versions = self.objects.get(&id)?;
        let announced = version.and_then(|version| {
            let [major, ..] = numbers(version);
            let same_major =
                |object: &&ObjectModel| numbers(&object.version).first() == Some(&major);
            versions
                .iter()
                .find(|object| object.is_version(version))
                .or_else(|| versions.iter().rev().find(same_major))
        });
        announced.or_else(|| versions.last())
    }

    /// The model of a resource: that of the newest version of the object that has it.
    pub fn resource(&self, object: u16, resource: u16) -> Option<&ResourceModel> {
        let versions = self.objects.get(&object)?;
        versions
            .iter()
            .rev()
            .find_map(|object| object.resources.get(&resource))
    }

    /// The model of exactly this version of an object.
    pub fn exact(&self, id: u16, version: &str) -> Option<&ObjectModel> {
        self.versions(id)
            .iter()
            .find(|object| compare_versions(&object.version, version).is_eq())
    }

    /// Every version of an object, the oldest first.
    pub fn versions(&self, id: u16) -> &[ObjectModel] {
        self.objects.get(&id).map_or(&[], Vec::as_slice)
    }

    /// True for a model that was uploaded, false for one that is part of the program.
    pub fn is_uploaded(&self, object: &ObjectModel) -> bool {
        self.uploaded.contains(&(object.id, object.version.clone()))
    }

    /// Every model by object id, the versions of an object from the oldest to the newest.
    pub fn objects(&self) -> impl Iterator<Item = &ObjectModel> {
        self.objects.values().flatten()
    }

    /// Adds a model, in the place of one with the same id and version.
    pub fn insert(&mut self, object: ObjectModel) {
        let versions = self.objects.entry(object.id).or_default();
        match versions.binary_search_by(|known| compare_versions(&known.version, &object.version)) {
            Ok(at) => {
                if let Some(known) = versions.get_mut(at) {
                    *known = object;
                }
            }
            Err(at) => versions.insert(at, object),
        }
    }

    /// Adds a model that somebody uploaded, in the place of one with the same id and version.
    pub fn insert_uploaded(&mut self, object: ObjectModel) {
        self.uploaded.insert((object.id, object.version.clone()));
        self.insert(object);
    }

    /// Reads the notation of `assets/objects.tsv`; lines that are none of it are left out.
    fn parse(table: &str) -> Self {
        let mut models = Self::default();
        let mut current: Option<ObjectModel> = None;
        for line in table.lines().filter(|line| !line.starts_with('#')) {
            if let Some(object) = parse_object(line) {
                if let Some(finished) = current.replace(object) {
                    models.insert(finished);
                }
            } else if let (Some(object), Some(resource)) = (&mut current, parse_resource(line)) {
                object.resources.insert(resource.id, resource);
            }
        }
        if let Some(finished) = current {
            models.insert(finished);
        }
        models
    }
}

impl ObjectModel {
    /// True when this is the model of that version; `1.0.0` is `1.0`.
    pub fn is_version(&self, version: &str) -> bool {
        compare_versions(&self.version, version).is_eq()
    }
}

/// The version of an object that a device means when it announces none: the one that came with
/// its version of LwM2M for the objects of the enabler, 1.0 for every other
/// (OMA-TS-LightweightM2M Core 7.2.2).
pub fn default_object_version(object: u16, enabler: Lwm2mVersion) -> &'static str {
    match (enabler, object) {
        (Lwm2mVersion::V1_1, 0 | 1 | 3) => "1.1",
        (Lwm2mVersion::V1_1, 4) => "1.2",
        (Lwm2mVersion::V1_2, 0 | 1 | 3) => "1.2",
        (Lwm2mVersion::V1_2, 2 | 5) => "1.1",
        (Lwm2mVersion::V1_2, 4) => "1.3",
        (Lwm2mVersion::V1_2, 21) => "2.0",
        _ => "1.0",
    }
}

/// Compares versions of objects, `1.9` and `1.10` by their numbers; what is no number counts as 0.
pub fn compare_versions(left: &str, right: &str) -> Ordering {
    numbers(left).cmp(&numbers(right))
}

fn numbers(version: &str) -> [u32; 3] {
    // As nearly all of them are, and they are compared for each value.
    if let [major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9'] = version.as_bytes() {
        return [u32::from(major & 15), u32::from(minor & 15), 0];
    }
    let mut parts = version
        .split('.')
        .map(|part| part.trim().parse::<u32>().unwrap_or(0));
    [(); 3].map(|()| parts.next().unwrap_or(0))
}

fn parse_object(line: &str) -> Option<ObjectModel> {
    let mut fields = line.strip_prefix("O\t")?.split('\t');
    let mut field = || fields.next();
    let id = field()?.parse().ok()?;
    let version = field()?.to_owned();
    let flags = field()?;
    Some(ObjectModel {
        id,
        name: field()?.to_owned(),
        version,
        multiple: flags.contains('*'),
        mandatory: flags.contains('!'),
        resources: BTreeMap::new(),
    })
}

fn parse_resource(line: &str) -> Option<ResourceModel> {
    let mut fields = line.split('\t');
    let id = fields.next()?.parse().ok()?;
    let operations = fields.next()?;
    let flags = fields.next()?;
    let value_type = match fields.next()? {
        "b" => Some(ValueType::Boolean),
        "c" => Some(ValueType::Corelink),
        "f" => Some(ValueType::Float),
        "i" => Some(ValueType::Integer),
        "l" => Some(ValueType::Objlnk),
        "o" => Some(ValueType::Opaque),
        "s" => Some(ValueType::String),
        "t" => Some(ValueType::Time),
        "u" => Some(ValueType::UnsignedInteger),
        _ => None,
    };
    let name = fields.next()?.to_owned();
    let mut text = || {
        fields
            .next()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    Some(ResourceModel {
        id,
        name,
        operations: Operations {
            readable: operations.contains('R'),
            writable: operations.contains('W'),
            executable: operations.contains('E'),
        },
        multiple: flags.contains('*'),
        mandatory: flags.contains('!'),
        value_type,
        range: text(),
        units: text(),
    })
}

/// See the head of the file for its notation.
const BUILTIN: &str = include_str!("../../assets/objects.tsv");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q4_every_line_of_the_builtin_table_is_read() {
        let models = Models::builtin();
        let lines = BUILTIN.lines().filter(|line| !line.starts_with('#'));
        let (objects, resources): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with('O'));
        assert_eq!(models.objects().count(), objects.len());
        assert_eq!(
            models
                .objects()
                .map(|object| object.resources.len())
                .sum::<usize>(),
            resources.len()
        );
        assert!(objects.len() > 320 && resources.len() > 3400);
        for object in models.objects() {
            for resource in object.resources.values() {
                assert!(
                    resource.value_type.is_some() || !resource.operations.writable,
                    "{object:?}"
                );
                assert!(!resource.name.is_empty());
            }
        }
    }

    #[test]
    fn the_device_object_is_as_registered() {
        let models = Models::builtin();
        let device = models.object(3, None).expect("object 3");
        assert_eq!(
            (device.name.as_str(), device.multiple, device.mandatory),
            ("Device", false, true)
        );
        let battery = models.resource(3, 9).expect("resource 9");
        assert_eq!(battery.name, "Battery Level");
        assert_eq!(battery.value_type, Some(ValueType::Integer));
        assert_eq!(
            (battery.range.as_deref(), battery.units.as_deref()),
            (Some("0..100"), Some("/100"))
        );
        let reboot = models.resource(3, 4).expect("resource 4");
        assert_eq!(
            reboot.operations,
            Operations {
                executable: true,
                ..Operations::default()
            }
        );
        assert_eq!(reboot.value_type, None);
        assert!(models.resource(3, 6).expect("resource 6").multiple);
    }

    #[test]
    fn our_own_object_tells_when_a_device_registered() {
        let models = Models::builtin();
        for resource in 0..=2 {
            let model = models.resource(10240, resource).expect("our object");
            assert_eq!(model.value_type, Some(ValueType::Time));
            assert!(model.operations.readable);
        }
        assert!(models.object(10300, None).is_some());
    }

    #[test]
    fn the_announced_version_is_chosen_and_else_the_newest() {
        let mut models = Models::default();
        for version in ["1.10", "1.2", "2.0"] {
            models.insert(ObjectModel {
                id: 7,
                name: version.to_owned(),
                version: version.to_owned(),
                multiple: false,
                mandatory: false,
                resources: BTreeMap::new(),
            });
        }
        let name = |version| models.object(7, version).expect("known").name.clone();
        assert_eq!(name(Some("1.2")), "1.2");
        assert_eq!(name(Some("1.10")), "1.10");
        assert_eq!(name(Some("1.2.0")), "1.2");
        assert_eq!(name(Some("9.9")), "2.0");
        assert_eq!(name(None), "2.0");
        assert!(models.object(8, None).is_none());
        let order: Vec<&str> = models
            .objects()
            .map(|object| object.version.as_str())
            .collect();
        assert_eq!(order, ["1.2", "1.10", "2.0"]);
    }

    #[test]
    fn b5_objects_of_the_enabler_have_the_version_that_came_with_it() {
        assert_eq!(default_object_version(3, Lwm2mVersion::V1_0), "1.0");
        assert_eq!(default_object_version(3, Lwm2mVersion::V1_1), "1.1");
        assert_eq!(default_object_version(3, Lwm2mVersion::V1_2), "1.2");
        assert_eq!(default_object_version(3303, Lwm2mVersion::V1_2), "1.0");
    }
}
