//! The server's certificates in their folder, in virtual time.
