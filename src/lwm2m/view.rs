//! The object models as one device means them.

use super::model::{Models, ObjectModel, ResourceModel, default_object_version};
use crate::domain::{AnnouncedObject, Lwm2mVersion, Path};

/// Chooses among the versions of each object the one that a device means: the version that it
/// announced, or else the one that came with its version of LwM2M. Cheap to copy.
///
/// A version that is not known is read by the newest of the same major version, or else by the
/// newest of all: within a major version resources are only added (OMA-TS-LightweightM2M Core
/// 7.2.2), so what is known helps more than nothing. The same holds for a single resource that the
/// chosen version does not have.
#[derive(Clone, Copy, Debug)]
pub struct ModelView<'a> {
    models: &'a Models,
    device: Option<Announced<'a>>,
}

/// What a device said of its versions.
#[derive(Clone, Copy, Debug)]
struct Announced<'a> {
    enabler: Lwm2mVersion,
    /// Sorted by path.
    objects: &'a [AnnouncedObject],
}

impl<'a> ModelView<'a> {
    /// The newest version of everything, for whoever has no device in mind.
    pub fn newest(models: &'a Models) -> Self {
        Self {
            models,
            device: None,
        }
    }

    /// The versions that a device announced; `objects` are sorted by path.
    pub fn announced(
        models: &'a Models,
        enabler: Lwm2mVersion,
        objects: &'a [AnnouncedObject],
    ) -> Self {
        Self {
            models,
            device: Some(Announced { enabler, objects }),
        }
    }

    /// The version of an object that the device means; nothing without a device.
    pub fn version(&self, object: u16) -> Option<&'a str> {
        let device = self.device?;
        let path = Path::object(object);
        let from = device
            .objects
            .partition_point(|announced| announced.path < path);
        // The object itself comes first, its instances follow; some devices give the version to those.
        let named = device
            .objects
            .get(from..)
            .unwrap_or_default()
            .iter()
            .take_while(|announced| path.contains(&announced.path))
            .find_map(|announced| announced.version.as_deref());
        Some(named.unwrap_or_else(|| default_object_version(object, device.enabler)))
    }

    /// The model of an object.
    pub fn object(&self, object: u16) -> Option<&'a ObjectModel> {
        self.models.object(object, self.version(object))
    }

    /// The model of an object, if it is that of the very version that the device means: only such a
    /// model can say what the device must have.
    pub fn exact_object(&self, object: u16) -> Option<&'a ObjectModel> {
        let version = self.version(object)?;
        self.object(object)
            .filter(|model| model.is_version(version))
    }

    /// The model of a resource: that of the version that the device means, or else that of the
    /// newest version that has it.
    pub fn resource(&self, object: u16, resource: u16) -> Option<&'a ResourceModel> {
        self.object(object)
            .and_then(|model| model.resources.get(&resource))
            .or_else(|| self.models.resource(object, resource))
    }

    /// The model of the resource at a path, or of which it is an instance.
    pub fn at(&self, path: &Path) -> Option<&'a ResourceModel> {
        self.resource(path.object_id()?, path.resource_id()?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::ValueType;
    use crate::lwm2m::Operations;

    fn object(version: &str, resources: &[(u16, ValueType)]) -> ObjectModel {
        let resource = |(id, value_type): &(u16, ValueType)| {
            let model = ResourceModel {
                id: *id,
                name: format!("{version} {id}"),
                operations: Operations::default(),
                multiple: false,
                mandatory: false,
                value_type: Some(*value_type),
                range: None,
                units: None,
            };
            (*id, model)
        };
        ObjectModel {
            id: 3,
            name: "Device".to_owned(),
            version: version.to_owned(),
            multiple: false,
            mandatory: false,
            resources: resources.iter().map(resource).collect::<BTreeMap<_, _>>(),
        }
    }

    /// Three versions of one object: resource 1 changes its type, 2 and 3 come and go.
    fn models() -> Models {
        let mut models = Models::default();
        models.insert(object("1.0", &[(1, ValueType::Integer)]));
        models.insert(object(
            "1.2",
            &[(1, ValueType::UnsignedInteger), (2, ValueType::String)],
        ));
        models.insert(object(
            "2.0",
            &[(1, ValueType::Float), (3, ValueType::Opaque)],
        ));
        models
    }

    fn announced(entries: &[(&str, Option<&str>)]) -> Vec<AnnouncedObject> {
        let entry = |(path, version): &(&str, Option<&str>)| AnnouncedObject {
            path: path.parse().expect("a path"),
            version: version.map(str::to_owned),
        };
        entries.iter().map(entry).collect()
    }

    fn name(view: ModelView<'_>, resource: u16) -> &str {
        &view.resource(3, resource).expect("known").name
    }

    #[test]
    fn b5_the_announced_version_chooses_the_type() {
        let models = models();
        for (version, wanted) in [("1.0", "1.0 1"), ("1.2", "1.2 1"), ("2.0", "2.0 1")] {
            let objects = announced(&[("/1", None), ("/3", Some(version)), ("/3/0", None)]);
            let view = ModelView::announced(&models, Lwm2mVersion::V1_1, &objects);
            assert_eq!(name(view, 1), wanted);
            assert!(view.exact_object(3).is_some());
        }
        assert_eq!(name(ModelView::newest(&models), 1), "2.0 1");
        assert!(ModelView::newest(&models).exact_object(3).is_none());
    }

    #[test]
    fn b5_without_a_version_it_is_that_of_the_enabler() {
        let models = models();
        let objects = announced(&[("/3/0", None)]);
        let view = |enabler| ModelView::announced(&models, enabler, &objects);
        assert_eq!(name(view(Lwm2mVersion::V1_0), 1), "1.0 1");
        assert_eq!(name(view(Lwm2mVersion::V1_2), 1), "1.2 1");
        // Object 3 of LwM2M 1.1 is 1.1, which is not known: the newest 1.x stands in for it.
        assert_eq!(name(view(Lwm2mVersion::V1_1), 1), "1.2 1");
        assert!(view(Lwm2mVersion::V1_1).exact_object(3).is_none());
        let nothing = ModelView::announced(&models, Lwm2mVersion::V1_0, &[]);
        assert_eq!(name(nothing, 1), "1.0 1");
    }

    #[test]
    fn b5_a_version_that_some_devices_give_to_an_instance_counts_too() {
        let models = models();
        let objects = announced(&[("/1/0", None), ("/3/0", Some("2.0")), ("/33", Some("1.0"))]);
        let view = ModelView::announced(&models, Lwm2mVersion::V1_0, &objects);
        assert_eq!(name(view, 1), "2.0 1");
    }

    #[test]
    fn a_resource_that_the_version_does_not_have_is_read_by_another() {
        let models = models();
        let objects = announced(&[("/3", Some("1.0"))]);
        let view = ModelView::announced(&models, Lwm2mVersion::V1_0, &objects);
        assert_eq!(name(view, 2), "1.2 2");
        assert_eq!(name(view, 3), "2.0 3");
        assert!(view.resource(3, 4).is_none());
        assert!(view.resource(4, 1).is_none());
        let unknown = announced(&[("/3", Some("7.1"))]);
        let view = ModelView::announced(&models, Lwm2mVersion::V1_0, &unknown);
        assert_eq!(name(view, 1), "2.0 1", "the newest of all");
    }
}
