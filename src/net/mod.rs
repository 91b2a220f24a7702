//! Sockets, and nothing else: datagrams go in and out of the message layer here, and files come over HTTPS.
//! What they mean is decided above.

mod admission;
pub mod batch;
pub mod dtls;
pub mod https;
mod tap;
mod transport;
mod udp;

pub use admission::{Admission, AdmissionCounters, Refused};
pub use tap::{Carried, Tap};
pub use transport::{CoapTransport, ServeError};
pub use udp::BindError;
