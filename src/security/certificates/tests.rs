//! Certificates as they are made, and odd ones as a CA or a stranger may make them.

mod made;
mod odd;
mod on_disk;
