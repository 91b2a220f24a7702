//! Firmware images over HTTPS, on `firmware.listen`: `GET` and `HEAD` of `/binaries/NAME`, whole or in parts.
//!
//! Devices fetch from here and nobody logs in, so this listener shares nothing with the pages and the API but the
//! certificates. HTTP/1.1 alone: what one device can hold here is one connection, one chunk of an image and what the
//! kernel keeps for it. Images are read as they go out, and a device that was promised an image gets that one to its
//! end, whatever becomes of the name meanwhile.
//!
//! | file | does |
//! |---|---|
//! | `asked.rs` | conditions and ranges |
//! | `body.rs` | the bytes, and who is told that they went out |
//! | `connection.rs` | ends connections on which nothing goes out |
//! | `http.rs` | from a request to an answer |
//! | `listener.rs` | sockets and handshakes |
//! | `metrics.rs` | counters |

mod asked;
mod body;
mod connection;
mod http;
mod listener;
mod metrics;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use crate::domain::FirmwareId;

pub use listener::{FirmwareFiles, ServeFilesError, serve};
pub use metrics::DownloadMetrics;

/// How one answer about an image gets on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// The image.
    pub image: FirmwareId,
    /// Who asked.
    pub from: IpAddr,
    /// The first byte that was asked for.
    pub offset: u64,
    /// The bytes before this one were handed to the network. Some of the last 100 kB or so can still be on their way.
    pub served_to: u64,
    /// Bytes of the whole image.
    pub size: u64,
    /// The status of the answer: 200, 206; without a body 304, 412, 416, and 200 for HEAD.
    pub status: u16,
    /// True when nothing more of this answer comes.
    pub is_over: bool,
    /// True when everything that was asked for was handed to the network.
    pub is_complete: bool,
}

/// Is told of answers about images: at most once a second of each, and when it is over. Called on the thread that
/// serves, so it must not wait.
pub type Told = Arc<dyn Fn(Served) + Send + Sync>;
