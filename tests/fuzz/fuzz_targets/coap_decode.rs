//! Any bytes are read or refused, and what is read can be written.
#![no_main]

libfuzzer_sys::fuzz_target!(|datagram: &[u8]| flownexus::coap::fuzzing::decode(datagram));
