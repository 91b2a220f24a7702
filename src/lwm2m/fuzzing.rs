//! Entry points for fuzzing; `tests/fuzz` calls them with mutated bytes, a test here with the
//! corpus. They panic when an invariant is broken, which is the point.

use std::sync::LazyLock;

use super::{Device, ModelView, Models, codec, ddf, link_format, register, report};
use crate::coap::{Code, Request, number};
use crate::domain::{ContentFormat, Lwm2mVersion, Path, RefusedFormats};

static MODELS: LazyLock<Models> = LazyLock::new(Models::builtin);

/// Decodes `data` (format, base path, payload); what can be decoded can be encoded again, and is
/// the same then.
pub fn codec(data: &[u8]) {
    let [format, base, payload @ ..] = data else {
        return;
    };
    let format = FORMATS
        .get(usize::from(*format))
        .copied()
        .unwrap_or_else(|| u16::from(*format));
    let base = BASES.get(usize::from(*base)).copied().unwrap_or(Path::ROOT);
    let models = ModelView::newest(&MODELS);
    codec::agree(payload);
    let _ = codec::decode_paths(format, payload);
    let _ = codec::decode_create(format, 3442, payload, models);
    changes(format, payload, models);
    let Ok(nodes) = codec::decode(format, base, payload, models) else {
        return;
    };
    let Some(named) = ContentFormat::from_code(format) else {
        return;
    };
    // Not everything that is read can be written: NaN, early timestamps, values given twice.
    let Ok(again) = codec::encode(named, base, &nodes, models) else {
        return;
    };
    match codec::decode(format, base, &again, models) {
        Ok(nodes_again) => assert_eq!(nodes.len(), nodes_again.len(), "{nodes:?} {nodes_again:?}"),
        Err(error) => panic!("{error}: {nodes:?} became {again:02x?}"),
    }
}

/// What a Write-Composite asks for can be asked for again.
fn changes(format: u16, payload: &[u8], models: ModelView<'_>) {
    let (Ok(changes), Some(named)) = (
        codec::decode_changes(format, payload, models),
        ContentFormat::from_code(format),
    ) else {
        return;
    };
    let Ok(again) = codec::encode_changes(named, &changes, models) else {
        return;
    };
    match codec::decode_changes(format, &again, models) {
        Ok(twice) => {
            assert_eq!(changes.removed, twice.removed, "{again:02x?}");
            assert_eq!(changes.nodes.len(), twice.nodes.len(), "{again:02x?}");
        }
        Err(error) => panic!("{error}: {changes:?} became {again:02x?}"),
    }
}

/// Classifies a request made of `data`: a method, then lines of path, query and body.
pub fn register(data: &[u8]) {
    let [method, rest @ ..] = data else { return };
    let mut request = Request::new(Code::from_byte(method & 7));
    let mut parts = rest.splitn(3, |byte| *byte == b'\n');
    for (option, separator) in [(number::URI_PATH, b'/'), (number::URI_QUERY, b'&')] {
        let part = parts.next().unwrap_or_default();
        for value in part
            .split(|byte| *byte == separator)
            .filter(|value| !value.is_empty())
        {
            request.options.add(option, value);
        }
    }
    request.payload = parts.next().unwrap_or_default().to_vec();
    let format = match method & 24 {
        0 => 40,
        8 => 110,
        16 => 112,
        _ => 11_544,
    };
    request.options.add_uint(number::CONTENT_FORMAT, format);
    let device = Device {
        version: Lwm2mVersion::V1_2,
        root: "",
        formats: &[],
        refused: RefusedFormats::NONE,
        objects: &[],
        models: &MODELS,
    };
    let _ = report::send(&request, &device);
    let limits = register::Limits::default();
    if let Ok(register::Call::Register(call)) = register::classify(&request, true, &limits) {
        assert!(!call.objects.is_empty() && call.objects.len() <= limits.max_objects);
        assert!(call.attributes.len() <= limits.max_attributes);
        assert!(call.warnings.len() <= link_format::MAX_WARNINGS);
        let written = link_format::announce(&call.root, &call.formats, &call.objects);
        let (links, warnings) = link_format::parse(&written);
        assert_eq!(warnings, [], "{written}");
        assert_eq!(
            links.len(),
            call.objects.len().saturating_add(1),
            "{written}"
        );
    }
}

/// Reads a definition; what is read survives being written, and each object has a source of its
/// own that says the same.
pub fn ddf(data: &[u8]) {
    let limits = ddf::Limits {
        max_bytes: 65_536,
        max_objects: 16,
        max_resources: 256,
    };
    let Ok(definitions) = ddf::parse(data, &limits) else {
        return;
    };
    for definition in definitions {
        for xml in [ddf::write(&definition.model), definition.source] {
            match ddf::parse(xml.as_bytes(), &ddf::Limits::ACCEPTED).as_deref() {
                Ok([again]) => assert_eq!(again.model, definition.model, "{xml}"),
                other => panic!("{other:?} of {xml}"),
            }
        }
    }
}

const FORMATS: [u16; 13] = [
    0, 42, 60, 110, 112, 1542, 1543, 11_542, 11_543, 11_544, 50, 320, 322,
];

const BASES: [Path; 8] = [
    Path::ROOT,
    Path::object(3),
    Path::instance(3, 0),
    Path::resource(3, 0, 9),
    Path::resource_instance(3, 0, 7, 1),
    Path::object(3442),
    Path::instance(3442, 0),
    Path::resource(3442, 0, 1130),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    type Target = (&'static str, fn(&[u8]));

    const TARGETS: [Target; 3] = [
        ("lwm2m_codec", super::codec),
        ("lwm2m_ddf", super::ddf),
        ("lwm2m_register", super::register),
    ];

    fn corpus(name: &str) -> Vec<Vec<u8>> {
        let folder = format!("{}/tests/fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(folder).expect("a corpus");
        files
            .map(|file| std::fs::read(file.expect("a file").path()).expect("readable"))
            .collect()
    }

    #[test]
    fn the_corpus_still_passes() {
        for (name, target) in TARGETS {
            let inputs = corpus(name);
            assert!(!inputs.is_empty(), "{name} has no corpus");
            inputs.iter().for_each(|input| target(input));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            cases: 64,
            ..ProptestConfig::default()
        })]

        #[test]
        fn the_corpus_still_passes_when_it_is_damaged(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
        ) {
            for (name, target) in TARGETS {
                for mut input in corpus(name) {
                    for (at, byte) in &damage {
                        let len = input.len();
                        input[at.index(len)] = *byte;
                    }
                    target(&input);
                    target(&input[..cut.index(input.len())]);
                }
            }
        }
    }
}
