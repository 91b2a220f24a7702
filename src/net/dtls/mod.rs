//! DTLS 1.2 (RFC 6347) for CoAP (RFC 7252 section 9): OpenSSL between datagrams in memory, no socket
//! in here.

#![expect(dead_code, reason = "the server's side comes with its own files")]

mod ffi;
mod pipe;
