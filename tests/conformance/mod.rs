//! The conformance checklist, one file for each of its sections, one test for each of its lines,
//! with the line's id in the test's name (`docs/src/reference/conformance-lines.md` maps them).
//!
//! Everything goes over a real socket to the real server process. What the device says is written
//! by hand from the specifications, never by our own codecs. Where flownexus is more tolerant than
//! the line on purpose, the test shows the tolerance and the warning.

mod a_registration;
mod b_lifetime;
mod bench;
mod c_queue_mode;
mod credentials;
mod d_request_engine;
mod e_read;
mod f_write;
mod g_create_delete_execute_discover;
mod h_composite;
mod i_observe;
mod interoperation;
mod j_addresses;
mod k_send;
mod l_psk;
mod m_certificates;
mod p_attributes;
mod page;
mod tolerance;
