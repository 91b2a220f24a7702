//! Peers that have shown their address and send anything, in the thread that shakes hands.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| flownexus::net::dtls::fuzzing::handshake(script));
