//! Operations that change objects: Write, Write-Composite, Create, Delete. Each is checked as a
//! whole first and then done as a whole.

use std::collections::BTreeSet;

use crate::domain::{Lwm2mVersion, Node, Path, Value};
use crate::lwm2m::ResourceModel;
use crate::lwm2m::codec::{Changes, CreateBody};
use crate::lwm2m::register::Refusal;

use super::{Objects, bad, not_allowed, not_found, table};

/// How a Write treats what is there already (Core 6.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Mode {
    /// PUT: what is not named goes.
    Replace,
    /// POST: what is not named stays.
    Update,
}

impl Objects {
    /// Write on an object instance, resource or resource instance.
    ///
    /// # Errors
    /// 4.04, 4.05 or 4.00; nothing was changed then.
    pub(in crate::sim) fn write(
        &mut self,
        path: Path,
        nodes: Vec<Node>,
        mode: Mode,
    ) -> Result<(), Refusal> {
        self.may_write(path)?;
        let several = path.depth() < 3
            || path.depth() == 3 && self.resource(&path).is_ok_and(|model| model.multiple);
        if !several && nodes.len() != 1 {
            return Err(bad(format!("{path} takes exactly one value")));
        }
        self.check(&nodes)?;
        if mode == Mode::Replace {
            let gone = match path.depth() {
                2 => self.replaced(path, &nodes)?,
                _ => self.leaves(path).collect(),
            };
            let kept: BTreeSet<Path> = nodes.iter().map(|node| node.path).collect();
            for leaf in gone.into_iter().filter(|leaf| !kept.contains(leaf)) {
                self.remove(leaf);
            }
        }
        self.store(nodes);
        Ok(())
    }

    /// Whether a server may write there at all, whatever it brings.
    ///
    /// # Errors
    /// 4.04 or 4.05, 4.01 for Security.
    pub(in crate::sim) fn may_write(&self, path: Path) -> Result<(), Refusal> {
        match path.depth() {
            0 => Err(not_allowed(path, "cannot be written as a whole")),
            1 => {
                self.must_exist(path)?;
                Err(not_allowed(path, "cannot be written as a whole"))
            }
            2 => self.must_exist(path),
            depth => {
                let model = self.writable(path)?;
                if depth == 4 && !model.multiple {
                    return Err(not_found(path));
                }
                Ok(())
            }
        }
    }

    /// Write-Composite: everything or nothing.
    ///
    /// # Errors
    /// 4.04, 4.05 or 4.00; nothing was changed then.
    pub(in crate::sim) fn write_composite(&mut self, changes: Changes) -> Result<(), Refusal> {
        let Changes { nodes, removed } = changes;
        if nodes.is_empty() && removed.is_empty() {
            return Err(bad("nothing to write"));
        }
        for path in nodes.iter().map(|node| &node.path).chain(&removed) {
            self.writable(*path)?;
        }
        if let Some(path) = removed
            .iter()
            .find(|path| nodes.iter().any(|node| node.path == **path))
        {
            return Err(bad(format!("{path} is written and removed")));
        }
        self.check(&nodes)?;
        for path in removed {
            self.remove(path);
        }
        self.store(nodes);
        Ok(())
    }

    /// Whether a server may create instances of an object, whatever it brings.
    ///
    /// # Errors
    /// Those of [`Objects::create`].
    pub(in crate::sim) fn may_create(&self, object: Path) -> Result<(), Refusal> {
        self.must_exist(object)?;
        let id = object.object_id().unwrap_or_default();
        let multiple = self.view().object(id).is_some_and(|model| model.multiple);
        if !multiple {
            return Err(bad(format!("{object} can have one instance only")));
        }
        if !table::takes_instances(id) {
            return Err(not_allowed(object, "takes no instances from a server"));
        }
        Ok(())
    }

    /// Create. Returns the new instances.
    ///
    /// # Errors
    /// 4.04 for unknown objects, 4.05 where the device makes the instances itself, 4.00 for
    /// instances that exist or lack mandatory resources, 4.01 for Security.
    pub(in crate::sim) fn create(
        &mut self,
        object: u16,
        body: CreateBody,
    ) -> Result<Vec<Path>, Refusal> {
        let path = Path::object(object);
        self.may_create(path)?;
        let CreateBody {
            instances,
            mut nodes,
        } = body;
        let ids = if instances.is_empty() {
            let free = (0..MAX_INSTANCES)
                .find(|id| !self.instances.contains(&Path::instance(object, *id)));
            let free = free.ok_or_else(|| bad(format!("{path} is full")))?;
            for node in &mut nodes {
                let below = node.path.ids().get(2..).unwrap_or(&[]);
                let moved = below
                    .iter()
                    .try_fold(Path::instance(object, free), |path, id| path.child(*id));
                node.path = moved.ok_or_else(|| not_found(node.path))?;
            }
            vec![free]
        } else {
            instances
        };
        let made: Vec<Path> = ids.iter().map(|id| Path::instance(object, *id)).collect();
        if let Some(taken) = made.iter().find(|path| self.instances.contains(path)) {
            return Err(bad(format!("{taken} exists already")));
        }
        if self.instances_of(object).count() + made.len() > usize::from(MAX_INSTANCES) {
            return Err(bad(format!("{path} is full")));
        }
        let before = self.instances.clone();
        self.instances.extend(&made);
        let complete = made
            .iter()
            .try_for_each(|path| self.replaced(*path, &nodes).map(drop))
            .and_then(|()| self.check(&nodes));
        if let Err(refusal) = complete {
            self.instances = before;
            return Err(refusal);
        }
        self.changes = self.changes.wrapping_add(1);
        self.store(nodes);
        Ok(made)
    }

    /// Delete of an object instance, with everything that belongs to it; since 1.2 of a resource
    /// instance too (Core 6.3.6).
    ///
    /// # Errors
    /// 4.04 for what does not exist, 4.05 for what a server cannot delete, 4.01 for Security.
    pub(in crate::sim) fn delete(&mut self, path: Path) -> Result<(), Refusal> {
        self.must_exist(path)?;
        let may = match path.depth() {
            2 => path.object_id().is_some_and(table::takes_instances),
            4 => self.table.version >= Lwm2mVersion::V1_2 && self.writable(path).is_ok(),
            _ => false,
        };
        if !may {
            return Err(not_allowed(path, "cannot be deleted"));
        }
        self.take_away(path);
        Ok(())
    }

    /// What the device itself takes away: an object, an instance, the values of a resource, or a
    /// resource instance. Nothing of it is left, attributes included.
    ///
    /// # Errors
    /// 4.04 for what does not exist, 4.01 for Security.
    pub(in crate::sim) fn withdraw(&mut self, path: Path) -> Result<(), Refusal> {
        self.must_exist(path)?;
        if let (1, Some(object)) = (path.depth(), path.object_id()) {
            self.withdrawn.insert(object);
        }
        self.take_away(path);
        Ok(())
    }

    fn take_away(&mut self, path: Path) {
        self.instances.retain(|instance| !path.contains(instance));
        self.values.retain(|leaf, _| !path.contains(leaf));
        self.attributes.retain(|below, _| !path.contains(below));
        self.changes = self.changes.wrapping_add(1);
    }

    /// An instance that the device makes itself, empty.
    pub(super) fn add_instance(&mut self, path: Path) {
        self.instances.insert(path);
        self.changes = self.changes.wrapping_add(1);
    }

    /// Whether each node can be written where it is.
    fn check(&self, nodes: &[Node]) -> Result<(), Refusal> {
        let mut seen = BTreeSet::new();
        for node in nodes {
            let model = self.writable(node.path)?;
            if node.path.depth() != 3 + usize::from(model.multiple) {
                let kind = if model.multiple {
                    "several instances"
                } else {
                    "one value"
                };
                return Err(bad(format!("{} has {kind}", node.path.truncated(3))));
            }
            if !seen.insert(node.path) {
                return Err(bad(format!("{} is given twice", node.path)));
            }
            acceptable(node)?;
        }
        let grown = seen
            .iter()
            .filter(|path| !self.values.contains_key(path))
            .count();
        if self.values.len() + grown > MAX_VALUES {
            return Err(bad("the device can hold no more values"));
        }
        Ok(())
    }

    /// What a replaced instance loses: everything that a server may write there.
    fn replaced(&self, instance: Path, nodes: &[Node]) -> Result<Vec<Path>, Refusal> {
        let given: BTreeSet<u16> = nodes
            .iter()
            .filter(|node| instance.contains(&node.path))
            .filter_map(|node| node.path.resource_id())
            .collect();
        let object = instance.object_id().unwrap_or_default();
        for id in self.table.resources(object) {
            let Some(path) = instance.child(*id) else {
                continue;
            };
            if let Some(model) = self.resource_model(&path)
                && model.mandatory
                && model.operations.writable
                && !given.contains(id)
            {
                return Err(bad(format!("{path} is mandatory")));
            }
        }
        let writable = |leaf: &Path| {
            self.resource_model(leaf)
                .is_some_and(|model| model.operations.writable)
        };
        Ok(self.leaves(instance).filter(writable).collect())
    }

    fn writable(&self, path: Path) -> Result<&ResourceModel, Refusal> {
        let model = self.resource(&path)?;
        if !model.operations.writable {
            return Err(not_allowed(path, "cannot be written"));
        }
        Ok(model)
    }

    fn store(&mut self, nodes: Vec<Node>) {
        for node in nodes {
            // The package is taken away by the update, never kept: it cannot be read.
            if node.path.truncated(3) != PACKAGE {
                self.put(node.path, node.value);
            }
        }
    }

    pub(super) fn remove(&mut self, leaf: Path) {
        self.values.remove(&leaf);
        self.attributes.remove(&leaf);
        self.changes = self.changes.wrapping_add(1);
    }
}

/// Values that the type allows and the device does not.
fn acceptable(node: &Node) -> Result<(), Refusal> {
    let place = match node.path.ids() {
        [object, _, resource, ..] => (*object, *resource),
        _ => return Ok(()),
    };
    let fine = match (place, &node.value) {
        ((1, 1), Value::Integer(lifetime)) => (1..=MAX_LIFETIME).contains(lifetime),
        ((1, 2 | 3 | 5), Value::Integer(period)) => *period >= 0,
        ((1, 7), Value::String(binding)) => matches!(binding.as_str(), "U" | "UQ"),
        ((3, 14), Value::String(offset)) => is_utc_offset(offset),
        ((5, 1), Value::String(uri)) => uri.len() <= 255,
        (_, Value::String(text)) => text.len() <= MAX_BYTES,
        (_, Value::Opaque(bytes)) => bytes.len() <= MAX_BYTES,
        _ => true,
    };
    if fine {
        Ok(())
    } else {
        Err(bad(format!(
            "{} is not allowed at {}",
            node.value, node.path
        )))
    }
}

/// ISO 8601, as `3/0/14` has it: `+02:00`, or `Z`.
fn is_utc_offset(text: &str) -> bool {
    let digits = |text: &str, below: u8| {
        text.len() == 2
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && text.parse::<u8>().is_ok_and(|number| number < below)
    };
    text == "Z"
        || text
            .strip_prefix(['+', '-'])
            .and_then(|offset| {
                offset
                    .split_once(':')
                    .or_else(|| offset.split_at_checked(2))
            })
            .is_some_and(|(hours, minutes)| {
                digits(hours, 24) && (digits(minutes, 60) || minutes.is_empty())
            })
}

/// `5/0/0`
const PACKAGE: Path = Path::resource(5, 0, 0);
/// Instances of one object that a server may create.
const MAX_INSTANCES: u16 = 32;
/// Values of one device.
const MAX_VALUES: usize = 2000;
/// Of one text or opaque value.
const MAX_BYTES: usize = 65_536;
/// Ten years in seconds.
const MAX_LIFETIME: i64 = 315_360_000;
