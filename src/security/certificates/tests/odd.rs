//! Certificates that nobody should make, and somebody will (CVE-2025-65499 of libcoap was one of
//! them): names are read whole or not at all.
