//! When the stored certificates of devices end.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::expiry::{Ending, Holder};
use crate::domain::{CredentialId, Timestamp};

/// The ends of all stored certificates, the first one first. Kept by who stores and removes them, read
/// by who warns. Clones see the same.
#[derive(Clone, Debug, Default)]
pub struct DeviceEnds(Arc<Mutex<Ends>>);

#[derive(Debug, Default)]
struct Ends {
    holders: BTreeMap<(Timestamp, CredentialId), Holder>,
    of: HashMap<CredentialId, Timestamp>,
}

impl DeviceEnds {
    /// A certificate is stored under this id.
    pub fn watch(&self, id: CredentialId, certificate: Ending) {
        let mut ends = self.lock();
        ends.forget(id);
        ends.of.insert(id, certificate.ends);
        ends.holders
            .insert((certificate.ends, id), certificate.holder);
    }

    /// What was stored under this id is gone.
    pub fn forget(&self, id: CredentialId) {
        self.lock().forget(id);
    }

    /// Nothing is stored.
    pub fn clear(&self) {
        *self.lock() = Ends::default();
    }

    /// Those that end until then, or have ended.
    pub fn until(&self, limit: Timestamp) -> Vec<Ending> {
        let ends = self.lock();
        let soon = ends.holders.range(..=(limit, CredentialId(i64::MAX)));
        soon.map(|((ends, _), holder)| Ending {
            holder: holder.clone(),
            ends: *ends,
        })
        .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ends {
    fn forget(&mut self, id: CredentialId) {
        if let Some(ends) = self.of.remove(&id) {
            self.holders.remove(&(ends, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EndpointName;

    #[test]
    fn only_what_ends_until_then_is_found_and_what_is_gone_is_not() {
        let at = |seconds: i64| Timestamp::clamped_from_millis(seconds * 1000);
        let certificate = |serial: &str, seconds| Ending {
            holder: Holder::Device(
                EndpointName::new("thing").expect("a name"),
                serial.to_owned(),
            ),
            ends: at(seconds),
        };
        let ends = DeviceEnds::default();
        let until = |seconds| {
            let found = ends.until(at(seconds)).into_iter();
            found.map(|one| one.ends).collect::<Vec<_>>()
        };
        ends.watch(CredentialId(1), certificate("0a", 30));
        ends.watch(CredentialId(2), certificate("0b", 10));
        ends.watch(CredentialId(i64::MAX), certificate("0c", 20));
        assert_eq!(until(20), [at(10), at(20)]);
        // Under the same id stands another one now.
        ends.watch(CredentialId(2), certificate("0d", 40));
        assert_eq!(until(40), [at(20), at(30), at(40)]);
        ends.forget(CredentialId(1));
        ends.forget(CredentialId(7));
        assert_eq!(until(40), [at(20), at(40)]);
        ends.clear();
        assert_eq!(until(40), []);
    }
}
