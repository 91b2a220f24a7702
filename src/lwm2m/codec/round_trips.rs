//! Properties: what is written can be read again, and reading never panics.

use proptest::prelude::*;

use super::tests::{DEVICE_SENML, models, read, written};
use super::*;
use crate::domain::ObjectLink;
use crate::lwm2m::{Models, ObjectModel, Operations, ResourceModel};

/// An object with one single and one multiple resource of each type.
fn test_models() -> Models {
    let types = [
        ValueType::Boolean,
        ValueType::Corelink,
        ValueType::Float,
        ValueType::Integer,
        ValueType::Objlnk,
        ValueType::Opaque,
        ValueType::String,
        ValueType::Time,
        ValueType::UnsignedInteger,
    ];
    let resource = |id: usize, multiple| ResourceModel {
        id: id as u16,
        name: String::new(),
        operations: Operations {
            readable: true,
            writable: true,
            executable: false,
        },
        multiple,
        mandatory: false,
        value_type: Some(types[id % 300]),
        range: None,
        units: None,
    };
    let singles = (0..types.len()).map(|id| resource(id, false));
    let multiples = (0..types.len()).map(|id| resource(300 + id, true));
    let mut models = Models::default();
    models.insert(ObjectModel {
        id: 40_000,
        name: String::new(),
        version: "1.0".to_owned(),
        multiple: true,
        mandatory: false,
        resources: singles
            .chain(multiples)
            .map(|resource| (resource.id, resource))
            .collect(),
    });
    models
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Boolean),
        ".{0,20}".prop_map(Value::Corelink),
        // Quarters, because serde_json reads other fractions only to the last bit but one unless
        // its feature `float_roundtrip` is on.
        any::<i32>().prop_map(|number| Value::Float(f64::from(number) / 4.0)),
        any::<i64>().prop_map(Value::Integer),
        any::<i8>().prop_map(|number| Value::Integer(number.into())),
        (any::<u16>(), any::<u16>())
            .prop_map(|(object, instance)| Value::Objlnk(ObjectLink { object, instance })),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Value::Opaque),
        ".{0,20}".prop_map(Value::String),
        any::<i64>().prop_map(Value::Time),
        any::<u64>().prop_map(Value::UnsignedInteger),
        any::<u16>().prop_map(|number| Value::UnsignedInteger(number.into())),
    ]
}

fn any_node() -> impl Strategy<Value = Node> {
    (
        any_value(),
        0..4_u16,
        prop::option::of(prop_oneof![0..3_u16, Just(256), Just(65_534)]),
    )
        .prop_map(|(value, instance, resource_instance)| {
            let kind = value.value_type() as u16;
            let path = match resource_instance {
                None => Path::resource(40_000, instance, kind),
                Some(id) => Path::resource_instance(40_000, instance, 300 + kind, id),
            };
            Node::new(path, value)
        })
}

fn any_timed_node() -> impl Strategy<Value = Node> {
    (
        any_node(),
        prop::option::of(RELATIVE_BELOW_MILLIS..253_402_300_799_000),
    )
        .prop_map(|(mut node, time)| {
            node.time = time.and_then(Timestamp::from_millis);
            node
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reading_never_panics(
        format in prop::sample::select(vec![0_u16, 42, 60, 110, 112, 320, 322, 1542, 1543, 11_542, 11_543, 11_544]),
        base in prop::sample::select(vec!["/", "/3", "/3/0", "/3/0/9", "/3/0/7/1", "/3442/0/130"]),
        payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let _ = read(format, base, &payload);
        let _ = decode_paths(format, &payload);
        let _ = decode_create(format, 3, &payload, models());
        let _ = decode_changes(format, &payload, models());
    }

    #[test]
    fn reading_what_almost_is_valid_never_panics(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let nodes = read(110, "/3/0", DEVICE_SENML.as_bytes()).expect("valid");
        for format in [ContentFormat::Json, ContentFormat::Lwm2mCbor, ContentFormat::SenmlCbor, ContentFormat::SenmlJson, ContentFormat::Tlv] {
            let mut payload = written(format, "/3/0", &nodes);
            let len = payload.len();
            payload[at.index(len)] = byte;
            let _ = read(format.code(), "/3/0", &payload);
            let _ = read(format.code(), "/3/0", &payload[..cut.index(len)]);
        }
    }

    #[test]
    fn one_value_survives_each_format(node in any_node()) {
        let models = test_models();
        let view = ModelView::newest(&models);
        let opaque = matches!(node.value, Value::Opaque(_));
        for format in ContentFormat::ALL {
            if format == ContentFormat::Opaque && !opaque {
                continue;
            }
            let payload = encode(format, node.path, std::slice::from_ref(&node), view).expect("writable");
            prop_assert_eq!(decode(format.code(), node.path, &payload, view), Ok(vec![node.clone()]));
        }
    }

    #[test]
    fn an_object_survives_each_format(nodes in prop::collection::vec(any_node(), 0..20)) {
        let models = test_models();
        let view = ModelView::newest(&models);
        let mut nodes = nodes;
        nodes.sort_by_key(|node| node.path);
        nodes.dedup_by_key(|node| node.path);
        let base = Path::object(40_000);
        for format in [ContentFormat::Json, ContentFormat::Lwm2mCbor, ContentFormat::SenmlCbor, ContentFormat::SenmlJson, ContentFormat::Tlv] {
            let payload = encode(format, base, &nodes, view).expect("writable");
            prop_assert_eq!(decode(format.code(), base, &payload, view), Ok(nodes.clone()));
        }
    }

    #[test]
    fn times_survive_senml(nodes in prop::collection::vec(any_timed_node(), 0..20)) {
        let models = test_models();
        let view = ModelView::newest(&models);
        let mut nodes = nodes;
        nodes.sort_by_key(|node| (node.path, node.time));
        for format in [ContentFormat::SenmlCbor, ContentFormat::SenmlJson] {
            let payload = encode(format, Path::ROOT, &nodes, view).expect("writable");
            prop_assert_eq!(decode(format.code(), Path::ROOT, &payload, view), Ok(nodes.clone()));
        }
    }

    #[test]
    fn every_float_survives_the_binary_formats_and_text(bits in any::<u64>()) {
        let number = f64::from_bits(bits);
        let models = test_models();
        let view = ModelView::newest(&models);
        let path = Path::resource(40_000, 0, ValueType::Float as u16);
        let node = Node::new(path, Value::Float(number));
        for format in [ContentFormat::Cbor, ContentFormat::Lwm2mCbor, ContentFormat::SenmlCbor, ContentFormat::Text, ContentFormat::Tlv] {
            let Ok(payload) = encode(format, path, std::slice::from_ref(&node), view) else {
                prop_assert!(!number.is_finite());
                continue;
            };
            let nodes = decode(format.code(), path, &payload, view).expect("what was written");
            let Value::Float(again) = nodes[0].value else { panic!("{nodes:?}") };
            prop_assert!(again == number || (again.is_nan() && number.is_nan()));
        }
    }

    #[test]
    fn paths_survive_each_format_of_composites(ids in prop::collection::vec(prop::collection::vec(0..=Path::MAX_ID, 0..=4), 0..20)) {
        let paths: Vec<Path> = ids.iter().map(|ids| Path::from_ids(ids).expect("valid")).collect();
        for format in [ContentFormat::SenmlCbor, ContentFormat::SenmlEtchCbor, ContentFormat::SenmlEtchJson, ContentFormat::SenmlJson] {
            let payload = encode_paths(format, &paths).expect("SenML");
            prop_assert_eq!(decode_paths(format.code(), &payload), Ok(paths.clone()));
        }
    }
}
