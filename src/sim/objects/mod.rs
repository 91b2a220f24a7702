//! The objects of a simulated device: what exists, and what may be done with it.
//!
//! [`Objects`] keeps instances and values and answers for each operation whether it is allowed
//! (OMA-TS-LightweightM2M Core 6.3 and appendix E). `table` says which resources the device has,
//! `write` holds the operations that change something, `environment` makes the values move,
//! `firmware` shows object 5, `event_log` and `test_object` know the objects that are there for tests of a server. What a
//! change means for the device itself (a new lifetime, a reboot) is decided in
//! [`device`](super::device).

mod environment;
pub(super) mod event_log;
pub(super) mod firmware;
mod table;
pub(super) mod test_object;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::coap::Code;
use crate::domain::{AnnouncedObject, Lwm2mVersion, Node, Path, RefusedFormats, Value};
use crate::lwm2m::attributes::Attributes;
use crate::lwm2m::link_format::Link;
use crate::lwm2m::register::Refusal;
use crate::lwm2m::{ModelView, Models, ResourceModel, codec, default_object_version};

pub(super) use environment::{Environment, seconds};
pub(super) use table::Table;
pub(super) use write::Mode;

/// The models that simulated devices are made of. To be made once and shared.
pub fn models() -> Arc<Models> {
    Arc::new(Models::builtin())
}

/// Object instances with their values and notification attributes.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    models: Arc<Models>,
    table: Table,
    /// Each object with its version where that is not the one a server expects, sorted.
    versions: Vec<AnnouncedObject>,
    /// Objects that the device has given up.
    withdrawn: BTreeSet<u16>,
    instances: BTreeSet<Path>,
    /// By resource, or resource instance where the resource has several.
    values: BTreeMap<Path, Value>,
    attributes: BTreeMap<Path, Attributes>,
    /// Grows with every change, so that whoever watches sees in one comparison whether to look.
    changes: u64,
}

impl Objects {
    pub(super) fn new(models: Arc<Models>, table: Table) -> Self {
        let mut versions: Vec<AnnouncedObject> = table
            .objects()
            .map(|object| AnnouncedObject {
                path: Path::object(object),
                version: announced_version(object, table.version).map(str::to_owned),
            })
            .collect();
        versions.sort_by_key(|announced| announced.path);
        Self {
            models,
            table,
            versions,
            withdrawn: BTreeSet::new(),
            instances: BTreeSet::new(),
            values: BTreeMap::new(),
            attributes: BTreeMap::new(),
            changes: 0,
        }
    }

    /// The models of the versions that the device announces.
    pub(super) fn view(&self) -> ModelView<'_> {
        ModelView::announced(&self.models, self.table.version, &self.versions)
    }

    pub(super) fn shared_models(&self) -> Arc<Models> {
        Arc::clone(&self.models)
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// The value of a resource or resource instance.
    pub(super) fn value(&self, path: &Path) -> Option<&Value> {
        self.values.get(path)
    }

    /// Puts a value in its place as the device itself does it, whatever a server may do there.
    ///
    /// # Errors
    /// The device has no such resource, or the value is not of its type.
    pub(super) fn set(&mut self, path: Path, value: Value) -> Result<(), Refusal> {
        let model = self.resource(&path)?;
        if path.depth() != 3 + usize::from(model.multiple) {
            return Err(not_found(path));
        }
        let value = match model.value_type {
            Some(wanted) => codec::convert(&value, wanted)
                .ok_or_else(|| bad(format!("{value} at {path} is no {wanted}")))?,
            None => return Err(not_allowed(path, "has no value")),
        };
        self.put(path, value);
        Ok(())
    }

    fn put(&mut self, path: Path, value: Value) {
        if self.values.get(&path) != Some(&value) {
            self.values.insert(path, value);
            self.changes = self.changes.wrapping_add(1);
        }
    }

    /// The clock goes on without that being news: a notification for each second helps nobody.
    pub(super) fn set_clock(&mut self, seconds: i64) {
        if let Some(value) = self.values.get_mut(&CURRENT_TIME) {
            *value = Value::Time(seconds);
        }
    }

    /// 3/0/12: no error has happened.
    pub(super) fn reset_errors(&mut self) {
        let errors = Path::resource(3, 0, 11);
        for leaf in self.leaves(errors).collect::<Vec<_>>() {
            self.remove(leaf);
        }
        self.put(Path::resource_instance(3, 0, 11, 0), Value::Integer(0));
    }

    /// What a Register lists: each object with its version where that is not the one a server
    /// expects, and its instances. Security is left out (Core 6.2.1).
    pub(super) fn announced(&self) -> Vec<AnnouncedObject> {
        let mut announced = Vec::new();
        for object in self.objects() {
            let instances: Vec<&Path> = self.instances_of(object).collect();
            let version = self.object_version(object).map(str::to_owned);
            if instances.is_empty() || version.is_some() {
                announced.push(AnnouncedObject {
                    path: Path::object(object),
                    version,
                });
            }
            announced.extend(instances.into_iter().map(|path| AnnouncedObject {
                path: *path,
                version: None,
            }));
        }
        announced
    }

    /// What lies at a path, for a Read or Observe of it alone.
    ///
    /// # Errors
    /// 4.04 for what does not exist, 4.05 for what cannot be read, 4.01 for Security.
    pub(super) fn read(&self, path: Path) -> Result<Vec<Node>, Refusal> {
        self.must_exist(path)?;
        if let Some(model) = self.resource_model(&path)
            && !model.operations.readable
        {
            return Err(not_allowed(path, "cannot be read"));
        }
        if path.depth() == 3 && !self.holds(path) {
            return Err(not_found(path));
        }
        Ok(self.collect(path))
    }

    /// True while a Read would find something, even if it is empty: an observation lives no longer.
    pub(super) fn is_there(&self, path: Path) -> bool {
        self.must_exist(path).is_ok() && (path.depth() != 3 || self.holds(path))
    }

    /// A single resource needs a value to be there, one with instances does not.
    fn holds(&self, resource: Path) -> bool {
        self.has_value(resource)
            || self
                .resource_model(&resource)
                .is_some_and(|model| model.multiple)
    }

    /// Every readable value at and below a path; nothing when there is none.
    pub(super) fn collect(&self, path: Path) -> Vec<Node> {
        let readable = |path: &Path| {
            self.resource_model(path)
                .is_some_and(|model| model.operations.readable)
        };
        self.values
            .range(path..)
            .take_while(|(below, _)| path.contains(below))
            .filter(|(below, _)| readable(below))
            .map(|(below, value)| Node::new(*below, value.clone()))
            .collect()
    }

    /// Every readable value at and below several paths, each once.
    pub(super) fn collect_all(&self, paths: &[Path]) -> Vec<Node> {
        let mut nodes: Vec<Node> = paths.iter().flat_map(|path| self.collect(*path)).collect();
        nodes.sort_by_key(|node| node.path);
        nodes.dedup_by_key(|node| node.path);
        nodes
    }

    /// Like [`Objects::collect_all`], for the question whether something is worth a notification.
    pub(super) fn newsworthy(&self, paths: &[Path]) -> Vec<Node> {
        let mut nodes = self.collect_all(paths);
        nodes.retain(|node| node.path != CURRENT_TIME);
        nodes
    }

    /// What may be executed.
    ///
    /// # Errors
    /// 4.04 for what does not exist, 4.05 for what holds a value, 4.01 for Security.
    pub(super) fn executable(&self, path: Path) -> Result<(), Refusal> {
        let model = self.resource(&path)?;
        if !model.operations.executable {
            return Err(not_allowed(path, "cannot be executed"));
        }
        Ok(())
    }

    /// The links of a Discover (Core 6.3.2): what there is below a path, with versions, numbers of
    /// resource instances (`dim`) and attributes.
    ///
    /// # Errors
    /// 4.04 for what does not exist, 4.05 for the root and resource instances, 4.01 for Security.
    pub(super) fn discover(&self, path: Path) -> Result<Vec<Link>, Refusal> {
        if !(1..=3).contains(&path.depth()) {
            return Err(not_allowed(path, "cannot be discovered"));
        }
        self.must_exist(path)?;
        let mut links = Vec::new();
        let object = path.object_id().unwrap_or_default();
        if path.depth() == 1 {
            let mut link = Link::new(path.to_string());
            if let Some(version) = self.object_version(object) {
                link = link.with("ver", version);
            }
            links.push(self.with_attributes(link, path));
        }
        for instance in self
            .instances_of(object)
            .filter(|instance| path.contains(instance) || instance.contains(&path))
        {
            if path.depth() < 3 {
                links.push(self.with_attributes(Link::new(instance.to_string()), *instance));
            }
            for resource in self.resources_of(*instance) {
                if path.depth() == 3 && resource != path {
                    continue;
                }
                links.extend(self.discover_resource(resource, path.depth() == 3));
            }
        }
        Ok(links)
    }

    fn discover_resource(&self, resource: Path, alone: bool) -> Vec<Link> {
        let mut link = Link::new(resource.to_string());
        let multiple = self
            .resource_model(&resource)
            .is_some_and(|model| model.multiple);
        let instances: Vec<Path> = self
            .leaves(resource)
            .filter(|leaf| leaf.depth() == 4)
            .collect();
        if multiple {
            link = link.with("dim", instances.len().to_string());
        }
        let shown = if alone {
            self.effective(resource)
        } else {
            self.attributes.get(&resource).copied().unwrap_or_default()
        };
        let mut links = vec![written(link, &shown)];
        // Resource instances: all of them when the resource is asked for, else those with attributes.
        let shown = |leaf: &Path| alone || self.attributes.contains_key(leaf);
        if self.table.version >= Lwm2mVersion::V1_1 {
            links.extend(
                instances
                    .into_iter()
                    .filter(shown)
                    .map(|leaf| self.with_attributes(Link::new(leaf.to_string()), leaf)),
            );
        }
        links
    }

    fn with_attributes(&self, link: Link, path: Path) -> Link {
        written(
            link,
            &self.attributes.get(&path).copied().unwrap_or_default(),
        )
    }

    /// The attributes in force at a path: its own, and where it has none those from above.
    pub(super) fn effective(&self, path: Path) -> Attributes {
        (1..=path.depth())
            .rev()
            .filter_map(|depth| self.attributes.get(&path.truncated(depth)))
            .fold(Attributes::default(), |below, above| below.inherit(above))
    }

    /// Write-Attributes (Core 6.3.4): sets or removes what is named and keeps the rest.
    ///
    /// # Errors
    /// 4.00 for attributes that do not exist or contradict each other, otherwise as for a Read.
    pub(super) fn write_attributes(
        &mut self,
        path: Path,
        changes: &[(String, Option<String>)],
    ) -> Result<(), Refusal> {
        self.must_exist(path)?;
        let device = crate::lwm2m::Device {
            version: self.table.version,
            root: "",
            formats: &[],
            refused: RefusedFormats::NONE,
            objects: &self.versions,
            models: &self.models,
        };
        crate::lwm2m::attributes::check_request(&path, changes, &device)
            .map_err(|error| bad(error.to_string()))?;
        let mut own = self.attributes.get(&path).copied().unwrap_or_default();
        for (name, value) in changes {
            own.set(name, value.as_deref())
                .map_err(|error| bad(error.to_string()))?;
        }
        own.inherit(&self.effective(path.parent()))
            .check()
            .map_err(|error| bad(error.to_string()))?;
        if own == Attributes::default() {
            self.attributes.remove(&path);
        } else {
            self.attributes.insert(path, own);
        }
        self.changes = self.changes.wrapping_add(1);
        Ok(())
    }

    /// 4.01 for Security, 4.04 for what the device does not have.
    fn must_exist(&self, path: Path) -> Result<(), Refusal> {
        let Some(object) = path.object_id() else {
            return Err(not_allowed(path, "is not for this operation"));
        };
        if object == 0 {
            return Err(Refusal::new(
                Code::UNAUTHORIZED,
                "Security is for bootstrapping alone",
            ));
        }
        let exists = match path.depth() {
            1 => self.objects().any(|id| id == object),
            2 => self.instances.contains(&path),
            3 => {
                self.resource_model(&path).is_some() && self.instances.contains(&path.truncated(2))
            }
            _ => self.values.contains_key(&path),
        };
        if exists { Ok(()) } else { Err(not_found(path)) }
    }

    /// The model of a resource that an existing instance has.
    fn resource(&self, path: &Path) -> Result<&ResourceModel, Refusal> {
        self.must_exist(path.truncated(3))?;
        self.resource_model(path).ok_or_else(|| not_found(*path))
    }

    /// The model of a resource, if devices of this kind have it.
    fn resource_model(&self, path: &Path) -> Option<&ResourceModel> {
        let (object, resource) = (path.object_id()?, path.resource_id()?);
        if !self.table.has_resource(object, resource) {
            return None;
        }
        self.view().resource(object, resource)
    }

    /// The objects that it has, with instances or without.
    fn objects(&self) -> impl Iterator<Item = u16> {
        self.table
            .objects()
            .filter(|object| !self.withdrawn.contains(object))
    }

    fn instances_of(&self, object: u16) -> impl Iterator<Item = &Path> {
        let first = Path::object(object);
        self.instances
            .range(first..)
            .take_while(move |path| first.contains(path))
    }

    /// The resources of an instance: those with a value, and those that can be executed.
    fn resources_of(&self, instance: Path) -> BTreeSet<Path> {
        let object = instance.object_id().unwrap_or_default();
        let executable = self
            .table
            .resources(object)
            .iter()
            .filter_map(|id| instance.child(*id))
            .filter(|path| {
                self.resource_model(path)
                    .is_some_and(|model| model.operations.executable || model.multiple)
            });
        self.leaves(instance)
            .map(|leaf| leaf.truncated(3))
            .chain(executable)
            .collect()
    }

    fn leaves(&self, path: Path) -> impl Iterator<Item = Path> {
        self.values
            .range(path..)
            .map(|(leaf, _)| *leaf)
            .take_while(move |leaf| path.contains(leaf))
    }

    fn has_value(&self, path: Path) -> bool {
        self.leaves(path).next().is_some()
    }

    /// The version of an object to announce: none where it is the one that is expected.
    fn object_version(&self, object: u16) -> Option<&'static str> {
        announced_version(object, self.table.version)
    }
}

fn announced_version(object: u16, enabler: Lwm2mVersion) -> Option<&'static str> {
    let version = table::version(object)?;
    (version != default_object_version(object, enabler)).then_some(version)
}

fn written(link: Link, attributes: &Attributes) -> Link {
    attributes
        .written()
        .into_iter()
        .fold(link, |link, (name, value)| link.with(name, value))
}

fn bad(reason: impl Into<String>) -> Refusal {
    Refusal::new(Code::BAD_REQUEST, reason)
}

fn not_allowed(path: Path, why: &str) -> Refusal {
    Refusal::new(Code::METHOD_NOT_ALLOWED, format!("{path} {why}"))
}

fn not_found(path: Path) -> Refusal {
    Refusal::new(Code::NOT_FOUND, format!("there is no {path}"))
}

/// `3/0/13`
const CURRENT_TIME: Path = Path::resource(3, 0, 13);
