//! A whole endpoint with tiny limits, driven by a script of datagrams, time and answers.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| flownexus::coap::fuzzing::endpoint(script));
