//! Sockets, and nothing else: datagrams go in and out of the message layer here. What they mean is
//! decided above.

pub mod dtls;
mod transport;
mod udp;

pub use transport::CoapTransport;
pub use udp::BindError;
