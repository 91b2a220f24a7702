//! DTLS 1.2 (RFC 6347) for CoAP (RFC 7252 section 9): OpenSSL between datagrams in memory, no socket
//! in here.

#![expect(dead_code, reason = "the server's side comes with its own files")]

mod client;
#[cfg(test)]
mod client_tests;
mod credentials;
mod ffi;
mod pipe;

pub use client::{Client, ClientError, ClientEvent, ClientSettings};
pub use credentials::{ClientCredentials, CredentialError};
