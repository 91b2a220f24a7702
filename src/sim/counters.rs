//! What simulated devices have done, to be read from anywhere.

use std::sync::atomic::{AtomicU64, Ordering};

use super::device::Happening;

/// Counters of one device or of many.
#[derive(Debug, Default)]
pub struct Counters {
    deregistered: AtomicU64,
    failed: AtomicU64,
    handshakes: AtomicU64,
    handshakes_failed: AtomicU64,
    installed: AtomicU64,
    lost: AtomicU64,
    notifications: AtomicU64,
    notifications_acknowledged: AtomicU64,
    operations: AtomicU64,
    registered: AtomicU64,
    sent: AtomicU64,
    updated: AtomicU64,
}

impl Counters {
    pub(super) fn count(&self, happening: Happening) {
        let counter = match happening {
            Happening::Deregistered => &self.deregistered,
            Happening::Failed => &self.failed,
            Happening::Installed => &self.installed,
            Happening::Lost => &self.lost,
            Happening::NotificationAcknowledged => &self.notifications_acknowledged,
            Happening::Notified => &self.notifications,
            Happening::Operated => &self.operations,
            Happening::Registered => &self.registered,
            Happening::Sent => &self.sent,
            Happening::Updated => &self.updated,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_handshake(&self, finished: bool) {
        let counter = if finished {
            &self.handshakes
        } else {
            &self.handshakes_failed
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Devices that are registered at present, as far as they know.
    pub fn registered_now(&self) -> u64 {
        self.registrations().saturating_sub(read(&self.lost))
    }

    /// Registers that the server confirmed.
    pub fn registrations(&self) -> u64 {
        read(&self.registered)
    }

    /// Updates that the server confirmed.
    pub fn updates(&self) -> u64 {
        read(&self.updated)
    }

    /// Deregisters that the server confirmed.
    pub fn deregistrations(&self) -> u64 {
        read(&self.deregistered)
    }

    /// Notifications that went out.
    pub fn notifications(&self) -> u64 {
        read(&self.notifications)
    }

    /// Notifications that the server acknowledged.
    pub fn notifications_acknowledged(&self) -> u64 {
        read(&self.notifications_acknowledged)
    }

    /// Sends that the server confirmed.
    pub fn sends(&self) -> u64 {
        read(&self.sent)
    }

    /// Requests of the server that were answered, refusals included.
    pub fn operations(&self) -> u64 {
        read(&self.operations)
    }

    /// Firmware images that were installed.
    pub fn installs(&self) -> u64 {
        read(&self.installed)
    }

    /// DTLS handshakes that have finished.
    pub fn handshakes(&self) -> u64 {
        read(&self.handshakes)
    }

    /// DTLS handshakes that the server refused or did not finish.
    pub fn handshakes_failed(&self) -> u64 {
        read(&self.handshakes_failed)
    }

    /// Requests and notifications that were refused or not answered.
    pub fn failures(&self) -> u64 {
        read(&self.failed)
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
