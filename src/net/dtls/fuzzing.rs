//! What the fuzzer runs (`tests/fuzz`): here, so that a test replays the corpus and it cannot rot.
//! Not for use by other rooms.

use super::hello::{COOKIE, First, holds_protected};

/// The first look at any datagram. What is answered is answered with no more bytes than came.
pub fn hello(datagram: &[u8]) {
    let first = First::of(datagram);
    let is_protected = holds_protected(datagram);
    assert!(first != First::Protected || is_protected);
    if let First::Hello(hello) = first {
        let answer = hello.verify_request(&[0x5a; COOKIE]);
        assert!(answer.len() <= datagram.len(), "{datagram:02x?}");
        assert_eq!(First::of(&answer), First::Plain, "{answer:02x?}");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_corpus_of_dtls_hello_passes_whole_and_in_parts() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/dtls_hello");
        let mut replayed = 0;
        for entry in std::fs::read_dir(&folder).expect("the corpus is part of the tree") {
            let datagram = std::fs::read(entry.expect("an entry").path()).expect("a readable file");
            for length in 0..=datagram.len() {
                super::hello(datagram.get(..length).expect("shorter"));
            }
            replayed += 1;
        }
        assert!(replayed > 3, "{} is too small", folder.display());
    }
}
