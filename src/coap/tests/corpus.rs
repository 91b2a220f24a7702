//! The corpus of the fuzzer is replayed, and a little more: the fuzz targets cannot rot unseen.

use std::path::Path;

use proptest::prelude::*;

use super::*;

fn replay(target: &str, run: fn(&[u8])) {
    // From the file, not from the manifest: the room is also built by itself.
    let folder = Path::new(file!())
        .ancestors()
        .nth(4)
        .expect("the project's folder")
        .join("tests/fuzz/corpus")
        .join(target);
    let folder = if folder.exists() {
        folder
    } else {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fuzz/corpus")
            .join(target)
    };
    let mut replayed = 0;
    for entry in std::fs::read_dir(&folder).expect("the corpus is part of the tree") {
        let path = entry.expect("an entry").path();
        run(&std::fs::read(&path).expect("a readable file"));
        replayed += 1;
    }
    assert!(replayed > 0, "{} is empty", folder.display());
}

#[test]
fn the_corpus_of_coap_decode_passes() {
    replay("coap_decode", fuzzing::decode);
}

#[test]
fn the_corpus_of_coap_endpoint_passes() {
    replay("coap_endpoint", fuzzing::endpoint);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_script_breaks_an_endpoint(script in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzzing::endpoint(&script);
    }

    #[test]
    fn no_script_of_messages_breaks_an_endpoint(
        lines in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>(), 0_u8..8, 0_u8..4), 0..40),
    ) {
        // Valid messages with few ids and tokens, mixed with every other operation.
        let mut script = Vec::new();
        for (operation, code, block, message_id, kind) in lines {
            if operation & 15 > 4 {
                script.extend([operation, code, block]);
                continue;
            }
            let codes = [Code::GET, Code::POST, Code::FETCH, Code::CONTENT, Code::CONTINUE, Code::CHANGED];
            let code = codes[usize::from(code) % codes.len()];
            let kinds = [MessageType::Confirmable, MessageType::NonConfirmable, MessageType::Acknowledgement];
            let mut line = message(kinds[usize::from(kind) % 3], code, message_id.into(), token(&[block & 3]));
            if code.is_request() {
                line.kind = kinds[usize::from(kind) % 2];
            }
            let option = if block & 128 == 0 { number::BLOCK1 } else { number::BLOCK2 };
            line.options.set_uint(option, u32::from(block & 0x3f));
            let exponent = Exponent::new(block & 7).unwrap_or(Exponent::MAX);
            line.payload = vec![block; exponent.size().min(128)];
            let datagram = line.encode();
            script.push(operation);
            script.push(datagram.len() as u8);
            script.extend(datagram);
        }
        fuzzing::endpoint(&script);
    }
}
