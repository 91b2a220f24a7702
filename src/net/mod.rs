//! Sockets, and nothing else: datagrams go in and out of the message layer here. What they mean is
//! decided above.

mod udp;

pub use udp::{BindError, UdpTransport};
