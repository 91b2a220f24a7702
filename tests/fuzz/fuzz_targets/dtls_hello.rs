//! The first look at a datagram on the DTLS port.
#![no_main]

libfuzzer_sys::fuzz_target!(|datagram: &[u8]| flownexus::net::dtls::fuzzing::hello(datagram));
