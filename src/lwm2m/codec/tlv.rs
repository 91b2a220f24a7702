//! TLV (11542): object instances, resources and resource instances in a binary form
//! (OMA-TS-LightweightM2M 1.0, 6.4.3; Core 1.1, 7.4.5).
//!
//! Nesting is that of the data model and so at most three levels deep. Clients differ in how much
//! they wrap: an answer about `/3/0` may come with or without its object instance around it, one
//! about a resource instance with or without its resource. Both are read; writing wraps nothing
//! that the path already says.

use crate::domain::{Node, ObjectLink, Path, Value, ValueType};

use super::{CodecError, Context, MAX_NODES, no_time};

const NAME: &str = "TLV";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ObjectInstance,
    ResourceInstance,
    MultipleResource,
    Resource,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry<'a> {
    kind: Kind,
    id: u16,
    value: &'a [u8],
}

pub(super) fn decode(payload: &[u8], context: &Context<'_>) -> Result<Vec<Node>, CodecError> {
    let base = context.base;
    let mut nodes = Vec::new();
    let mut rest = payload;
    while let Some(entry) = next(&mut rest)? {
        let parent = match (entry.kind, base.depth()) {
            (_, 0) => None,
            (Kind::ObjectInstance, _) => Some(base.truncated(1)),
            // An object of which there is one instance, sent without it; also a Create that leaves
            // the id to the device.
            (Kind::MultipleResource | Kind::Resource, 1) => base.child(0),
            (Kind::MultipleResource | Kind::Resource, _) => Some(base.truncated(2)),
            (Kind::ResourceInstance, 3 | 4) => Some(base.truncated(3)),
            (Kind::ResourceInstance, _) => None,
        };
        let parent = parent.ok_or_else(|| {
            CodecError::malformed(NAME, format!("{:?} cannot be at {base}", entry.kind))
        })?;
        read_entry(parent, entry, context, &mut nodes)?;
    }
    Ok(nodes)
}

fn read_entry(
    parent: Path,
    entry: Entry<'_>,
    context: &Context<'_>,
    nodes: &mut Vec<Node>,
) -> Result<(), CodecError> {
    let path = parent
        .child(entry.id)
        .ok_or_else(|| CodecError::malformed(NAME, format!("id {} is reserved", entry.id)))?;
    match entry.kind {
        Kind::Resource | Kind::ResourceInstance => {
            if !context.base.contains(&path) {
                return Err(CodecError::Outside {
                    path,
                    base: context.base,
                });
            }
            if nodes.len() >= MAX_NODES {
                return Err(CodecError::TooLarge {
                    what: "nodes",
                    limit: MAX_NODES,
                });
            }
            nodes.push(Node::new(
                path,
                context.fit(value(entry.value, path, context.value_type(&path)), || {
                    Some(Value::Opaque(entry.value.to_vec()))
                })?,
            ));
        }
        // Each kind allows only the one below it, so the recursion ends after two steps.
        Kind::ObjectInstance | Kind::MultipleResource => {
            let mut rest = entry.value;
            while let Some(inner) = next(&mut rest)? {
                let fits = match entry.kind {
                    Kind::ObjectInstance => {
                        matches!(inner.kind, Kind::Resource | Kind::MultipleResource)
                    }
                    _ => inner.kind == Kind::ResourceInstance,
                };
                if !fits {
                    return Err(CodecError::malformed(
                        NAME,
                        format!("{:?} cannot be within {:?}", inner.kind, entry.kind),
                    ));
                }
                read_entry(path, inner, context, nodes)?;
            }
        }
    }
    Ok(())
}

/// The ids of the object instances on the outermost level.
pub(super) fn instances(payload: &[u8]) -> Vec<u16> {
    let mut rest = payload;
    let mut ids = Vec::new();
    while let Ok(Some(entry)) = next(&mut rest) {
        if entry.kind == Kind::ObjectInstance {
            ids.push(entry.id);
        }
    }
    ids
}

/// Takes the first entry off; nothing at the end.
fn next<'a>(rest: &mut &'a [u8]) -> Result<Option<Entry<'a>>, CodecError> {
    let Some((head, mut after)) = rest.split_first() else {
        return Ok(None);
    };
    let short = || CodecError::malformed(NAME, "it ends within an entry");
    let mut number = |len: usize| {
        let (bytes, tail) = after.split_at_checked(len).ok_or_else(short)?;
        after = tail;
        Ok::<_, CodecError>(
            bytes
                .iter()
                .fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte)),
        )
    };
    let id = number(if head & 0b0010_0000 == 0 { 1 } else { 2 })?;
    let len = match (head >> 3) & 0b11 {
        0 => u32::from(head & 0b111),
        width => number(usize::from(width))?,
    };
    let len = usize::try_from(len).map_err(|_| short())?;
    let (value, tail) = after.split_at_checked(len).ok_or_else(short)?;
    *rest = tail;
    Ok(Some(Entry {
        kind: match head >> 6 {
            0 => Kind::ObjectInstance,
            1 => Kind::ResourceInstance,
            2 => Kind::MultipleResource,
            _ => Kind::Resource,
        },
        id: u16::try_from(id).map_err(|_| short())?,
        value,
    }))
}

/// A value in the form of its type; bytes where there is no model, as TLV does not show types.
fn value(bytes: &[u8], path: Path, wanted: Option<ValueType>) -> Result<Value, CodecError> {
    let text = || String::from_utf8(bytes.to_vec()).ok();
    let Some(wanted) = wanted else {
        return Ok(Value::Opaque(bytes.to_vec()));
    };
    let value = match wanted {
        ValueType::Boolean => match bytes {
            [0] => Some(Value::Boolean(false)),
            [1] => Some(Value::Boolean(true)),
            _ => None,
        },
        ValueType::Corelink => text().map(Value::Corelink),
        ValueType::Float => match *bytes {
            [a, b, c, d] => Some(Value::Float(f32::from_be_bytes([a, b, c, d]).into())),
            [a, b, c, d, e, f, g, h] => {
                Some(Value::Float(f64::from_be_bytes([a, b, c, d, e, f, g, h])))
            }
            _ => None,
        },
        ValueType::Integer => signed(bytes).map(Value::Integer),
        ValueType::Objlnk => match *bytes {
            [a, b, c, d] => Some(Value::Objlnk(ObjectLink {
                object: u16::from_be_bytes([a, b]),
                instance: u16::from_be_bytes([c, d]),
            })),
            _ => None,
        },
        ValueType::Opaque => Some(Value::Opaque(bytes.to_vec())),
        ValueType::String => text().map(Value::String),
        ValueType::Time => signed(bytes).map(Value::Time),
        ValueType::UnsignedInteger => unsigned(bytes).map(Value::UnsignedInteger),
    };
    value.ok_or_else(|| {
        let shown: Vec<u8> = bytes.iter().copied().take(16).collect();
        let found = format!("{} bytes ({})", bytes.len(), hex::encode(shown));
        CodecError::WrongType {
            path,
            wanted,
            found,
        }
    })
}

fn unsigned(bytes: &[u8]) -> Option<u64> {
    let legal = matches!(bytes.len(), 1 | 2 | 4 | 8);
    legal.then(|| {
        bytes
            .iter()
            .fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte))
    })
}

fn signed(bytes: &[u8]) -> Option<i64> {
    match *bytes {
        [a] => Some(i8::from_be_bytes([a]).into()),
        [a, b] => Some(i16::from_be_bytes([a, b]).into()),
        [a, b, c, d] => Some(i32::from_be_bytes([a, b, c, d]).into()),
        [a, b, c, d, e, f, g, h] => Some(i64::from_be_bytes([a, b, c, d, e, f, g, h])),
        _ => None,
    }
}

/// Writes nodes that are sorted by path.
pub(super) fn encode(base: Path, nodes: &[Node]) -> Result<Vec<u8>, CodecError> {
    if nodes.iter().any(|node| node.time.is_some()) {
        return Err(no_time(NAME));
    }
    if base.depth() == 0 {
        return Err(CodecError::NotEncodable(format!(
            "{NAME} cannot express several objects"
        )));
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
    let mut out = Vec::new();
    write_level(&mut out, base, nodes)?;
    // All instances of a resource are wrapped into it, although the path names it.
    if base.depth() == 3 && nodes.iter().all(|node| node.path != base) {
        let inner = std::mem::take(&mut out);
        write_entry(&mut out, Kind::MultipleResource, base, &inner)?;
    }
    Ok(out)
}

/// Writes what lies below (or at) a path, one level after the other.
fn write_level(out: &mut Vec<u8>, parent: Path, nodes: &[Node]) -> Result<(), CodecError> {
    if let [node] = nodes
        && node.path == parent
    {
        let kind = if parent.depth() == 4 {
            Kind::ResourceInstance
        } else {
            Kind::Resource
        };
        return write_value(out, kind, node);
    }
    let below = |node: &Node| node.path.truncated(parent.depth().saturating_add(1));
    for group in nodes.chunk_by(|left, right| below(left) == below(right)) {
        let Some(first) = group.first() else { continue };
        let path = below(first);
        let kind = match path.depth() {
            2 => Kind::ObjectInstance,
            3 if first.path == path => Kind::Resource,
            3 => Kind::MultipleResource,
            _ => Kind::ResourceInstance,
        };
        match kind {
            Kind::Resource | Kind::ResourceInstance => {
                for node in group {
                    write_value(out, kind, node)?;
                }
            }
            Kind::MultipleResource | Kind::ObjectInstance => {
                let mut inner = Vec::new();
                write_level(&mut inner, path, group)?;
                write_entry(out, kind, path, &inner)?;
            }
        }
    }
    Ok(())
}

fn write_value(out: &mut Vec<u8>, kind: Kind, node: &Node) -> Result<(), CodecError> {
    let bytes = match &node.value {
        Value::Boolean(on) => vec![u8::from(*on)],
        Value::Corelink(text) | Value::String(text) => text.clone().into_bytes(),
        Value::Float(number) => {
            let single = *number as f32;
            if f64::from(single) == *number || number.is_nan() {
                single.to_be_bytes().to_vec()
            } else {
                number.to_be_bytes().to_vec()
            }
        }
        Value::Integer(number) | Value::Time(number) => shortest_signed(*number),
        Value::Objlnk(link) => [link.object.to_be_bytes(), link.instance.to_be_bytes()].concat(),
        Value::Opaque(bytes) => bytes.clone(),
        Value::UnsignedInteger(number) => shortest_unsigned(*number),
    };
    write_entry(out, kind, node.path, &bytes)
}

fn shortest_signed(number: i64) -> Vec<u8> {
    if let Ok(number) = i8::try_from(number) {
        number.to_be_bytes().to_vec()
    } else if let Ok(number) = i16::try_from(number) {
        number.to_be_bytes().to_vec()
    } else if let Ok(number) = i32::try_from(number) {
        number.to_be_bytes().to_vec()
    } else {
        number.to_be_bytes().to_vec()
    }
}

fn shortest_unsigned(number: u64) -> Vec<u8> {
    if let Ok(number) = u8::try_from(number) {
        number.to_be_bytes().to_vec()
    } else if let Ok(number) = u16::try_from(number) {
        number.to_be_bytes().to_vec()
    } else if let Ok(number) = u32::try_from(number) {
        number.to_be_bytes().to_vec()
    } else {
        number.to_be_bytes().to_vec()
    }
}

fn write_entry(out: &mut Vec<u8>, kind: Kind, path: Path, value: &[u8]) -> Result<(), CodecError> {
    let id = path.ids().last().copied().unwrap_or_default();
    let wide = id > 255;
    let [_, a, b, c] = u32::try_from(value.len())
        .ok()
        .filter(|len| *len < 1 << 24)
        .ok_or_else(|| CodecError::NotEncodable(format!("{NAME} holds at most 16 MB in {path}")))?
        .to_be_bytes();
    let kind = match kind {
        Kind::ObjectInstance => 0,
        Kind::ResourceInstance => 1,
        Kind::MultipleResource => 2,
        Kind::Resource => 3_u8,
    };
    let head = (kind << 6) | (u8::from(wide) << 5);
    let (width, len): (u8, &[u8]) = match (a, b, c) {
        (0, 0, 0..8) => (c, &[]),
        (0, 0, _) => (1 << 3, &[c]),
        (0, _, _) => (2 << 3, &[b, c]),
        _ => (3 << 3, &[a, b, c]),
    };
    out.push(head | width);
    let id = id.to_be_bytes();
    out.extend(id.iter().skip(if wide { 0 } else { 1 }));
    out.extend(len);
    out.extend(value);
    Ok(())
}

/// An object instance without resources.
pub(super) fn empty_instance(instance: Path) -> Vec<u8> {
    let mut out = Vec::new();
    // An empty value always fits.
    let _ = write_entry(&mut out, Kind::ObjectInstance, instance, &[]);
    out
}

#[cfg(test)]
#[path = "tlv_tests.rs"]
mod tests;
