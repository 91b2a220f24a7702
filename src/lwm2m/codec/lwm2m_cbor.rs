//! LwM2M-CBOR (11544): maps within maps, a key for each level of the path
//! (OMA-TS-LightweightM2M Core 1.2, 7.4.7).
//!
//! The names are always whole, whatever the payload is about. A key is an id or an array of ids,
//! which stands for as many levels; each grouping is read, and each length, definite or not. What
//! is written has one form only, that of RFC 8949 section 4.2.1: one id per key, in ascending order,
//! definite lengths. Times carry tag 1, object links are text.
//!
//! There are no timestamps in this format. A null says that there is no value at present.

use ciborium::Value as Item;

use crate::domain::{Node, Path};

use super::cbor::{self, Writer};
use super::{CodecError, Context, MAX_NODES, no_time, senml};

pub(super) const NAME: &str = "LwM2M-CBOR";

pub(super) fn decode(payload: &[u8], context: &Context<'_>) -> Result<Vec<Node>, CodecError> {
    let mut nodes = Vec::new();
    walk(payload, |path, item| {
        let Some(item) = item else { return Ok(()) };
        if path.depth() < 3 {
            return Err(CodecError::malformed(
                NAME,
                format!("{path} has a value but is no resource"),
            ));
        }
        if !context.base.contains(&path) {
            let base = context.base;
            return Err(CodecError::Outside { path, base });
        }
        let raw = cbor::raw(item).ok_or_else(|| {
            CodecError::malformed(NAME, format!("what is at {path} is no value of a resource"))
        })?;
        nodes.push(Node::new(path, senml::fit(raw, &path, context)?));
        Ok(())
    })?;
    Ok(nodes)
}

/// The ids of the instances of one object, those without values included.
pub(super) fn instances(payload: &[u8], object: u16) -> Vec<u16> {
    let mut ids = Vec::new();
    // What is wrong with it was told by decode.
    let _ = walk(payload, |path, _| {
        ids.extend(
            path.instance_id()
                .filter(|_| path.object_id() == Some(object)),
        );
        Ok(())
    });
    ids
}

/// Writes nodes that are sorted by path.
pub(super) fn encode(nodes: &[Node]) -> Result<Vec<u8>, CodecError> {
    if nodes.iter().any(|node| node.time.is_some()) {
        return Err(no_time(NAME));
    }
    if let Some((twice, _)) = nodes
        .iter()
        .zip(nodes.iter().skip(1))
        .find(|(a, b)| a.path.contains(&b.path))
    {
        return Err(CodecError::NotEncodable(format!(
            "{NAME} holds one value of {}, not several",
            twice.path
        )));
    }
    let mut writer = Writer::default();
    write_level(&mut writer, 0, nodes);
    Ok(writer.0)
}

/// An object instance without resources.
pub(super) fn empty_instance(instance: Path) -> Vec<u8> {
    let mut writer = Writer::default();
    for id in instance.ids() {
        writer.map(1);
        writer.unsigned((*id).into());
    }
    writer.map(0);
    writer.0
}

/// Calls `found` with each value and its path, and with the path of each empty map.
fn walk(
    payload: &[u8],
    mut found: impl FnMut(Path, Option<Item>) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    let mut item: Item = cbor::read(NAME, payload)?;
    // The tag that says no more than that this is CBOR (RFC 8949 section 3.4.6).
    while let Item::Tag(SELF_DESCRIBED, inner) = item {
        item = *inner;
    }
    let Item::Map(entries) = item else {
        return Err(CodecError::malformed(NAME, "it is no map"));
    };
    let mut seen = std::collections::BTreeSet::new();
    level(Path::ROOT, entries, &mut |path, item| {
        let is_value = item.is_some();
        if is_value && !seen.insert(path) {
            return Err(CodecError::malformed(NAME, format!("{path} comes twice")));
        }
        if seen.len() > MAX_NODES {
            return Err(CodecError::TooLarge {
                what: "nodes",
                limit: MAX_NODES,
            });
        }
        found(path, item)
    })
}

/// One map. Each key leads a level down, so the recursion ends after four steps.
fn level(
    parent: Path,
    entries: Vec<(Item, Item)>,
    found: &mut impl FnMut(Path, Option<Item>) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    if entries.is_empty() {
        return found(parent, None);
    }
    for (key, item) in entries {
        let path = below(parent, &key)?;
        match item {
            Item::Map(entries) => level(path, entries, found)?,
            Item::Null => {}
            value => found(path, Some(value))?,
        }
    }
    Ok(())
}

/// The path that a key leads to.
fn below(parent: Path, key: &Item) -> Result<Path, CodecError> {
    let ids = match key {
        Item::Array(ids) if !ids.is_empty() => ids.as_slice(),
        key => std::slice::from_ref(key),
    };
    ids.iter().try_fold(parent, |path, id| {
        let id = match id {
            Item::Integer(id) => u16::try_from(*id).ok(),
            _ => None,
        };
        let id = id.ok_or_else(|| {
            CodecError::malformed(NAME, format!("a key below {path} is no id or list of ids"))
        })?;
        path.child(id).ok_or_else(|| {
            CodecError::malformed(NAME, format!("the key {id} below {path} leads nowhere"))
        })
    })
}

/// Writes the maps for everything that lies below the first `depth` levels, which all nodes share.
fn write_level(writer: &mut Writer, depth: usize, nodes: &[Node]) {
    let id = |node: &Node| node.path.ids().get(depth).copied();
    let groups = || nodes.chunk_by(|left, right| id(left) == id(right));
    writer.map(groups().count());
    for group in groups() {
        let Some((first, key)) = group.first().and_then(|first| Some((first, id(first)?))) else {
            continue;
        };
        writer.unsigned(key.into());
        let deeper = depth.saturating_add(1);
        if first.path.depth() == deeper {
            cbor::write_value(writer, &first.value);
        } else {
            write_level(writer, deeper, group);
        }
    }
}

/// Tag 55799.
const SELF_DESCRIBED: u64 = 55_799;

#[cfg(test)]
#[path = "lwm2m_cbor_tests.rs"]
mod tests;
