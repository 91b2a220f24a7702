//! A DTLS session whose peer has the keys, or has not, and sends anything.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| flownexus::net::dtls::fuzzing::session(script));
