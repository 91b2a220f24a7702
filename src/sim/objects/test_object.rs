//! Object 3442, LwM2M v1.1 Test Object: every type of resource, single and with instances, to be
//! read and written at will.

use crate::domain::{ObjectLink, Path, Value};

use super::super::random::Random;
use super::Objects;
use super::table::TEST_OBJECT;

/// 3442/x/0: the values that an instance begins with.
pub(in crate::sim) fn reset(objects: &mut Objects, instance: u16) {
    clear(objects, instance);
    fill(
        objects,
        instance,
        [
            Value::String("initial".to_owned()),
            Value::Integer(-1024),
            Value::UnsignedInteger(u64::MAX),
            Value::Float(3.25),
            Value::Boolean(true),
            Value::Opaque(vec![0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]),
            Value::Time(946_684_800),
            Value::Objlnk(ObjectLink {
                object: 3,
                instance: 0,
            }),
            Value::Corelink("</3442/0>".to_owned()),
        ],
    );
}

/// 3442/x/1: values that nobody knows beforehand.
pub(super) fn randomize(objects: &mut Objects, instance: u16, random: &mut Random) {
    clear(objects, instance);
    let number = random.next();
    fill(
        objects,
        instance,
        [
            Value::String(format!("{number:016x}")),
            Value::Integer(i64::from_ne_bytes(random.next().to_ne_bytes())),
            Value::UnsignedInteger(random.next()),
            Value::Float(random.between(-1000.0, 1000.0)),
            Value::Boolean(number.is_multiple_of(2)),
            Value::Opaque(random.next().to_be_bytes().to_vec()),
            Value::Time((number % 4_000_000_000).cast_signed()),
            Value::Objlnk(ObjectLink {
                object: (number % 1000) as u16,
                instance: 0,
            }),
            Value::Corelink(format!("</{}>", number % 1000)),
        ],
    );
}

/// 3442/x/2: nothing is left but what every type has as nothing.
pub(in crate::sim) fn clear(objects: &mut Objects, instance: u16) {
    let place = Path::instance(TEST_OBJECT, instance);
    for leaf in objects.leaves(place).collect::<Vec<_>>() {
        objects.remove(leaf);
    }
    let empty = [
        Value::String(String::new()),
        Value::Integer(0),
        Value::UnsignedInteger(0),
        Value::Float(0.0),
        Value::Boolean(false),
        Value::Opaque(Vec::new()),
        Value::Time(0),
        Value::Objlnk(ObjectLink {
            object: u16::MAX,
            instance: u16::MAX,
        }),
        Value::Corelink(String::new()),
    ];
    for (single, value) in SINGLE.into_iter().zip(empty) {
        objects.put(Path::resource(TEST_OBJECT, instance, single), value);
    }
}

/// 3442/x/3: what an Execute brought, to be read at 3442/x/4: an instance for each argument.
pub(in crate::sim) fn keep_arguments(
    objects: &mut Objects,
    instance: u16,
    arguments: &[(u8, Option<String>)],
) {
    let list = Path::resource(TEST_OBJECT, instance, ARGUMENTS);
    for leaf in objects.leaves(list).collect::<Vec<_>>() {
        objects.remove(leaf);
    }
    for (digit, value) in arguments {
        let place = Path::resource_instance(TEST_OBJECT, instance, ARGUMENTS, u16::from(*digit));
        objects.put(place, Value::String(value.clone().unwrap_or_default()));
    }
}

/// 3442/x/6: what 3442/x/5 sends; everything of the instance when it names nothing.
pub(in crate::sim) fn to_send(objects: &Objects, instance: u16) -> Vec<Path> {
    let named: Vec<Path> = objects
        .collect(Path::resource(TEST_OBJECT, instance, RESOURCES_TO_SEND))
        .iter()
        .filter_map(|node| node.value.to_string().parse().ok())
        .collect();
    if named.is_empty() {
        return vec![Path::instance(TEST_OBJECT, instance)];
    }
    named
}

/// Each value at its single resource, and twice at the one with instances.
fn fill(objects: &mut Objects, instance: u16, values: [Value; 9]) {
    for (single, value) in SINGLE.into_iter().zip(values) {
        objects.put(Path::resource(TEST_OBJECT, instance, single), value.clone());
        let multiple = single + MULTIPLE;
        for id in 0..2 {
            let place = Path::resource_instance(TEST_OBJECT, instance, multiple, id);
            objects.put(place, value.clone());
        }
    }
}

/// String, integer, unsigned integer, float, boolean, opaque, time, object link, core link.
const SINGLE: [u16; 9] = [110, 120, 125, 130, 140, 150, 160, 170, 180];
/// So much above each of them is the resource of the same type with instances.
const MULTIPLE: u16 = 1000;
const ARGUMENTS: u16 = 4;
const RESOURCES_TO_SEND: u16 = 6;
