//! Certificates end. Whoever runs the server hears of it in time: in the log once a day, as a metric,
//! and on a page.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::domain::{EndpointName, Timestamp};

/// Whose certificate it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Holder {
    /// The CA's.
    Ca,
    /// The server's.
    Server,
    /// One that is stored for a device, with its serial number ([`super::serial_hex`]).
    Device(EndpointName, String),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ca => f.write_str("The certificate of the CA"),
            Self::Server => f.write_str("The certificate of the server"),
            Self::Device(endpoint, serial) => {
                write!(f, "The certificate {serial} of {endpoint}")
            }
        }
    }
}

/// A certificate and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Whose it is.
    pub holder: Holder,
    /// When it ends.
    pub ends: Timestamp,
}

impl Ending {
    /// Whole days that are left; negative once it has ended.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        let millis = self.ends.as_millis().saturating_sub(now.as_millis());
        millis.div_euclid(86_400_000)
    }
}

/// Remembers of what it has warned today.
#[derive(Debug, Default)]
pub struct ExpiryWatch {
    warned: HashMap<Holder, Timestamp>,
}

impl ExpiryWatch {
    /// Of those that end soon the ones to warn of now: each once a day. One that
    /// is not among them any more, because it was renewed or removed, is forgotten.
    pub fn due(&mut self, soon: Vec<Ending>, now: Timestamp) -> Vec<Ending> {
        let mut warned = HashMap::with_capacity(soon.len());
        let mut due = Vec::new();
        for certificate in soon {
            let last = self.warned.get(&certificate.holder).copied();
            // A clock that was set back does not silence it.
            let is_due = last.is_none_or(|last| last > now || now.since(last) >= DAY);
            let at = last.filter(|_| !is_due).unwrap_or(now);
            warned.insert(certificate.holder.clone(), at);
            if is_due {
                due.push(certificate);
            }
        }
        self.warned = warned;
        due
    }
}

/// When the certificates of this server end, and how many of the devices' do so soon.
#[derive(Clone, Debug, Default)]
pub struct ExpiryMetrics {
    ends: Family<CertificateLabel, Gauge>,
    devices: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabel {
    certificate: &'static str,
}

impl ExpiryMetrics {
    /// Names the metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "flownexus_certificate_expiry_timestamp",
            "When the certificate ends, since 1970; of several CAs the first",
            Unit::Seconds,
            self.ends.clone(),
        );
        registry.register(
            "flownexus_device_certificates_ending",
            "Stored certificates of devices that end within certificates.warn_days",
            self.devices.clone(),
        );
    }

    pub(super) fn set(&self, certificate: &'static str, ends: Timestamp) {
        self.ends
            .get_or_create(&CertificateLabel { certificate })
            .set(ends.as_millis().div_euclid(1000));
    }

    pub(super) fn set_devices(&self, count: usize) {
        self.devices.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

const DAY: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: u64) -> Timestamp {
        Timestamp::clamped_from_millis(1_800_000_000_000).plus(DAY * u32::try_from(number).unwrap())
    }

    fn ending(holder: Holder, ends: Timestamp) -> Ending {
        Ending { holder, ends }
    }

    fn device(name: &str, ends: Timestamp) -> Ending {
        let name = EndpointName::new(name).expect("a name");
        ending(Holder::Device(name, "01".to_owned()), ends)
    }

    #[test]
    fn the_days_that_are_left_are_whole_ones_and_negative_after_the_end() {
        let left = |ends| device("a", ends).days_left(day(100));
        let hour = Duration::from_secs(3600);
        assert_eq!(left(day(130)), 30);
        assert_eq!(left(day(100).plus(hour)), 0);
        assert_eq!(left(day(99).plus(hour)), -1);
        assert_eq!(left(day(40)), -60);
    }

    #[test]
    fn each_is_told_once_a_day() {
        let mut watch = ExpiryWatch::default();
        let soon = || vec![ending(Holder::Server, day(110))];
        let hour = Duration::from_secs(3600);
        assert_eq!(watch.due(soon(), day(100)).len(), 1);
        assert_eq!(watch.due(soon(), day(100).plus(hour)).len(), 0);
        assert_eq!(watch.due(soon(), day(100).plus(hour * 23)).len(), 0);
        assert_eq!(watch.due(soon(), day(101)).len(), 1);
        assert_eq!(watch.due(soon(), day(101).plus(hour)).len(), 0);
        let both = vec![ending(Holder::Server, day(110)), device("a", day(110))];
        let told = watch.due(both, day(101).plus(hour * 2));
        assert_eq!(told, [device("a", day(110))]);
    }

    #[test]
    fn a_renewed_one_is_told_again_when_its_time_comes() {
        let mut watch = ExpiryWatch::default();
        let soon = || vec![ending(Holder::Ca, day(110))];
        assert_eq!(watch.due(soon(), day(100)).len(), 1);
        assert!(watch.due(Vec::new(), day(100)).is_empty());
        assert_eq!(watch.due(soon(), day(100)).len(), 1);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_silence_it() {
        let mut watch = ExpiryWatch::default();
        let soon = || vec![ending(Holder::Ca, day(110))];
        watch.due(soon(), day(109));
        assert_eq!(watch.due(soon(), day(100)).len(), 1);
    }
}
