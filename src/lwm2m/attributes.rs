//! Notification attributes: `pmin`, `gt` and the like (OMA-TS-LightweightM2M Core 5.1.1, 7.3.2).
//!
//! The server checks with [`check_request`] what it is about to set; a device keeps [`Attributes`]
//! per path and lets a path inherit from the one above it.

use super::Device;
use crate::domain::{Lwm2mVersion, Path, ValueType};

/// The attributes of one path.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Attributes {
    /// Seconds between two notifications at least.
    pub pmin: Option<u64>,
    /// Seconds between two notifications at most.
    pub pmax: Option<u64>,
    /// Seconds between two evaluations at least, since 1.1.
    pub epmin: Option<u64>,
    /// Seconds between two evaluations at most, since 1.1.
    pub epmax: Option<u64>,
    /// Notify when the value crosses this upwards or back.
    pub gt: Option<f64>,
    /// Notify when the value crosses this downwards or back.
    pub lt: Option<f64>,
    /// Notify when the value differs this much from the last one told.
    pub st: Option<f64>,
    /// Notify on the falling (false) or rising (true) edge of a boolean, since 1.2.
    pub edge: Option<bool>,
    /// Send notifications confirmable, since 1.2.
    pub con: Option<bool>,
    /// How many notifications are kept while the server cannot be reached, since 1.2.
    pub hqmax: Option<u64>,
}

/// Why attributes cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAttribute {
    /// Two attributes contradict each other.
    #[error("{0}")]
    Contradiction(&'static str),
    /// It cannot be set on this path.
    #[error("{name} cannot be set on {path}: {reason}")]
    NotHere {
        /// The attribute.
        name: String,
        /// Where it was to be set.
        path: Path,
        /// Why it cannot be there.
        reason: &'static str,
    },
    /// The device's version of LwM2M does not have it.
    #[error("{name} does not exist in LwM2M {version}")]
    NotInVersion {
        /// The attribute.
        name: String,
        /// What the device speaks.
        version: Lwm2mVersion,
    },
    /// The same attribute is named several times.
    #[error("{0} is given twice")]
    Twice(String),
    /// LwM2M has no such attribute that can be set.
    #[error("{0} is no attribute that can be set")]
    Unknown(String),
    /// The value is not of the attribute's form.
    #[error("{name}={value} is not {wanted}")]
    Value {
        /// The attribute.
        name: String,
        /// What was given.
        value: String,
        /// What it must be.
        wanted: &'static str,
    },
}

impl Attributes {
    /// Sets an attribute, or removes it when there is no value.
    ///
    /// # Errors
    /// For names that are no attribute and for values that are not of its form.
    pub fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), InvalidAttribute> {
        let wrong = |wanted| InvalidAttribute::Value {
            name: name.to_owned(),
            value: value.unwrap_or_default().chars().take(40).collect(),
            wanted,
        };
        let whole = || {
            let legal =
                |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            value
                .map(|text| {
                    Some(text)
                        .filter(legal)
                        .and_then(|text| text.parse::<u64>().ok())
                })
                .map(|number| number.ok_or_else(|| wrong("a whole number that is not negative")))
                .transpose()
        };
        let decimal = || {
            let legal = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
            value
                .map(|text| Some(text).filter(|text| text.bytes().all(legal)))
                .map(|text| {
                    text.and_then(|text| text.parse().ok())
                        .filter(|number: &f64| number.is_finite())
                })
                .map(|number| number.ok_or_else(|| wrong("a number")))
                .transpose()
        };
        let switch = || match value {
            None => Ok(None),
            Some("0") => Ok(Some(false)),
            Some("1") => Ok(Some(true)),
            Some(_) => Err(wrong("0 or 1")),
        };
        match name {
            "pmin" => self.pmin = whole()?,
            "pmax" => self.pmax = whole()?,
            "epmin" => self.epmin = whole()?,
            "epmax" => self.epmax = whole()?,
            "gt" => self.gt = decimal()?,
            "lt" => self.lt = decimal()?,
            "st" => {
                self.st = match decimal()? {
                    Some(step) if step <= 0.0 => return Err(wrong("a number above 0")),
                    step => step,
                }
            }
            "edge" => self.edge = switch()?,
            "con" => self.con = switch()?,
            "hqmax" => self.hqmax = whole()?,
            other => return Err(InvalidAttribute::Unknown(other.chars().take(40).collect())),
        }
        Ok(())
    }

    /// Checks that the attributes do not contradict each other (P2).
    ///
    /// # Errors
    /// Names the rule that is broken.
    pub fn check(&self) -> Result<(), InvalidAttribute> {
        let above = |left: Option<u64>, right: Option<u64>| {
            left.zip(right).is_some_and(|(left, right)| left > right)
        };
        if above(self.pmin, self.pmax) {
            return Err(InvalidAttribute::Contradiction("pmin is greater than pmax"));
        }
        if above(self.epmin, self.epmax) {
            return Err(InvalidAttribute::Contradiction(
                "epmin is greater than epmax",
            ));
        }
        if let (Some(lt), Some(gt)) = (self.lt, self.gt) {
            if lt >= gt {
                return Err(InvalidAttribute::Contradiction("lt is not less than gt"));
            }
            if let Some(st) = self.st
                && lt + 2.0 * st >= gt
            {
                return Err(InvalidAttribute::Contradiction(
                    "lt + 2 * st is not less than gt",
                ));
            }
        }
        Ok(())
    }

    /// These attributes, and where one is missing that of the path above.
    #[must_use]
    pub fn inherit(self, above: &Self) -> Self {
        Self {
            pmin: self.pmin.or(above.pmin),
            pmax: self.pmax.or(above.pmax),
            epmin: self.epmin.or(above.epmin),
            epmax: self.epmax.or(above.epmax),
            gt: self.gt.or(above.gt),
            lt: self.lt.or(above.lt),
            st: self.st.or(above.st),
            edge: self.edge.or(above.edge),
            con: self.con.or(above.con),
            hqmax: self.hqmax.or(above.hqmax),
        }
    }

    /// The attributes that are set, as a Discover shows them.
    pub fn written(&self) -> Vec<(&'static str, String)> {
        let whole = |number: Option<u64>| number.map(|number| number.to_string());
        let decimal = |number: Option<f64>| number.map(|number| number.to_string());
        let switch = |on: Option<bool>| on.map(|on| u8::from(on).to_string());
        [
            ("pmin", whole(self.pmin)),
            ("pmax", whole(self.pmax)),
            ("epmin", whole(self.epmin)),
            ("epmax", whole(self.epmax)),
            ("gt", decimal(self.gt)),
            ("lt", decimal(self.lt)),
            ("st", decimal(self.st)),
            ("edge", switch(self.edge)),
            ("con", switch(self.con)),
            ("hqmax", whole(self.hqmax)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

/// Checks a Write-Attributes before it is sent: `None` removes an attribute.
///
/// # Errors
/// Says which attribute cannot be set, and why.
pub fn check_request(
    path: &Path,
    attributes: &[(String, Option<String>)],
    device: &Device<'_>,
) -> Result<(), InvalidAttribute> {
    let mut all = Attributes::default();
    for (at, (name, value)) in attributes.iter().enumerate() {
        all.set(name, value.as_deref())?;
        if attributes.iter().take(at).any(|(other, _)| other == name) {
            return Err(InvalidAttribute::Twice(name.clone()));
        }
        let since = match name.as_str() {
            "epmin" | "epmax" => Lwm2mVersion::V1_1,
            "edge" | "con" | "hqmax" => Lwm2mVersion::V1_2,
            _ => Lwm2mVersion::V1_0,
        };
        if device.version < since {
            let version = device.version;
            return Err(InvalidAttribute::NotInVersion {
                name: name.clone(),
                version,
            });
        }
        if let Some(reason) = misplaced(name, path, device) {
            return Err(InvalidAttribute::NotHere {
                name: name.clone(),
                path: *path,
                reason,
            });
        }
    }
    all.check()
}

/// Why an attribute cannot be set on a path: changes of a value exist only where there is one.
fn misplaced(name: &str, path: &Path, device: &Device<'_>) -> Option<&'static str> {
    if !matches!(name, "gt" | "lt" | "st" | "edge") {
        return None;
    }
    let (Some(object), Some(resource)) = (path.object_id(), path.resource_id()) else {
        return Some("it belongs to a resource");
    };
    let kind = device.view().resource(object, resource)?.value_type?;
    match (name, kind) {
        ("edge", ValueType::Boolean) => None,
        ("edge", _) => Some("it is no boolean"),
        (
            _,
            ValueType::Float | ValueType::Integer | ValueType::UnsignedInteger | ValueType::Time,
        ) => None,
        _ => Some("it is no number"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Models;
    use super::*;
    use crate::domain::RefusedFormats;

    fn check(version: Lwm2mVersion, path: &str, query: &str) -> Result<(), InvalidAttribute> {
        let models = Models::builtin();
        let device = Device {
            version,
            root: "",
            formats: &[],
            refused: RefusedFormats::NONE,
            objects: &[],
            models: &models,
        };
        let attributes: Vec<(String, Option<String>)> = query
            .split('&')
            .map(|part| match part.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (part.to_owned(), None),
            })
            .collect();
        check_request(&path.parse().expect(path), &attributes, &device)
    }

    #[test]
    fn p1_attributes_can_be_set_on_every_level() {
        for path in ["/3303", "/3303/0", "/3303/0/5700", "/3303/0/5700/0"] {
            assert_eq!(
                check(Lwm2mVersion::V1_1, path, "pmin=5&pmax=10&epmin=1&epmax=2"),
                Ok(()),
                "{path}"
            );
        }
        assert_eq!(
            check(Lwm2mVersion::V1_0, "/3303/0/5700", "gt=30&lt=-10.5&st=0.5"),
            Ok(())
        );
        assert_eq!(
            check(Lwm2mVersion::V1_0, "/3303/0/5700", "gt&lt&pmin"),
            Ok(())
        );
        assert_eq!(
            check(Lwm2mVersion::V1_2, "/3200/0/5500", "edge=1&con=0&hqmax=10"),
            Ok(())
        );
        assert_eq!(
            check(Lwm2mVersion::V1_2, "/33000/0/7", "gt=1"),
            Ok(()),
            "unknown resources may be numbers"
        );
    }

    #[test]
    fn p2_contradictions_are_refused() {
        for query in [
            "pmin=11&pmax=10",
            "epmin=11&epmax=10",
            "gt=10&lt=20",
            "gt=10&lt=10",
            "lt=10&gt=20&st=6",
            "lt=10&gt=20&st=5",
        ] {
            let result = check(Lwm2mVersion::V1_1, "/3303/0/5700", query);
            assert!(
                matches!(result, Err(InvalidAttribute::Contradiction(_))),
                "{query}: {result:?}"
            );
        }
        assert_eq!(
            check(
                Lwm2mVersion::V1_1,
                "/3303/0/5700",
                "lt=10&gt=20&st=4.9&pmin=10&pmax=10"
            ),
            Ok(())
        );
    }

    #[test]
    fn q3_values_of_another_form_are_refused() {
        for query in [
            "pmin=-1",
            "pmin=",
            "pmin=1.5",
            "pmax=x",
            "gt=inf",
            "gt=NaN",
            "gt=1e999",
            "st=0",
            "st=-1",
            "con=2",
            "edge=true",
        ] {
            let result = check(Lwm2mVersion::V1_2, "/3200/0/5600", query);
            let edge = check(Lwm2mVersion::V1_2, "/3200/0/5500", query);
            assert!(
                matches!(result, Err(InvalidAttribute::Value { .. })),
                "{query}: {result:?}"
            );
            assert!(edge.is_err());
        }
        for query in ["dim=1", "ver=1.0", "ssid=1", "", "pmin2=1", "PMIN=1"] {
            let result = check(Lwm2mVersion::V1_1, "/3303/0/5700", query);
            assert!(
                matches!(result, Err(InvalidAttribute::Unknown(_))),
                "{query}: {result:?}"
            );
        }
        assert_eq!(
            check(Lwm2mVersion::V1_1, "/3", "pmin=1&pmin=2"),
            Err(InvalidAttribute::Twice("pmin".into()))
        );
    }

    #[test]
    fn attributes_of_later_versions_and_other_levels_are_refused() {
        assert!(matches!(
            check(Lwm2mVersion::V1_0, "/3", "epmin=1"),
            Err(InvalidAttribute::NotInVersion { .. })
        ));
        assert!(matches!(
            check(Lwm2mVersion::V1_1, "/3", "hqmax=1"),
            Err(InvalidAttribute::NotInVersion { .. })
        ));
        for (path, query) in [
            ("/3303/0", "gt=1"),
            ("/3/0/0", "st=1"),
            ("/3303/0/5700", "edge=1"),
        ] {
            let result = check(Lwm2mVersion::V1_2, path, query);
            assert!(
                matches!(result, Err(InvalidAttribute::NotHere { .. })),
                "{query}: {result:?}"
            );
        }
    }

    #[test]
    fn p3_a_path_inherits_what_it_does_not_set() {
        let mut above = Attributes::default();
        above.set("pmin", Some("5")).expect("valid");
        above.set("pmax", Some("10")).expect("valid");
        let mut own = Attributes::default();
        own.set("pmin", Some("20")).expect("valid");
        let both = own.inherit(&above);
        assert_eq!((both.pmin, both.pmax), (Some(20), Some(10)));
        assert!(both.check().is_err(), "the combination contradicts itself");
        assert_eq!(
            both.written(),
            [("pmin", "20".to_owned()), ("pmax", "10".to_owned())]
        );
        own.set("pmin", None).expect("removal");
        assert_eq!(own, Attributes::default());
    }
}
