//! Requests and responses as the rooms above see them: whole bodies, no message ids, no blocks.

use super::code::Code;
use super::options::Options;

/// A request, ours or a peer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub code: Code,
    /// Everything but the options that the message layer handles itself (Block1, Block2, Size1).
    pub options: Options,
    /// The whole body.
    pub payload: Vec<u8>,
}

impl Request {
    /// A request without options and body.
    pub fn new(code: Code) -> Self {
        Self {
            code,
            options: Options::new(),
            payload: Vec::new(),
        }
    }
}

/// A response or notification, ours or a peer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The response code.
    pub code: Code,
    /// Everything but the options that the message layer handles itself: Block2, Size2, and Block1
    /// unless it answers one block of a body ([`confirmed_block1`](super::confirmed_block1)).
    pub options: Options,
    /// The whole body; of an error, text that says what is wrong (RFC 7252 section 5.5.2).
    pub payload: Vec<u8>,
}

impl Response {
    /// A response without options and body.
    pub fn new(code: Code) -> Self {
        Self {
            code,
            options: Options::new(),
            payload: Vec::new(),
        }
    }

    /// An error with its reason as diagnostic payload.
    pub fn refusal(code: Code, reason: &str) -> Self {
        Self {
            code,
            options: Options::new(),
            payload: reason.as_bytes().to_vec(),
        }
    }
}
