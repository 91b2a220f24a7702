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
    #[error(
        "{name} does not exist in LwM2M {version}, which the device speaks; it came with {since}"
    )]
    NotInVersion {
        /// The attribute.
        name: String,
        /// What the device speaks.
        version: Lwm2mVersion,
        /// The first version that has it.
        since: Lwm2mVersion,
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

/// The value as it goes over the air: decimals without exponent, plus sign and needless zeros, as
/// the grammar of the specification has none of them (Core 7.3.2).
///
/// # Errors
/// For values that are not of the attribute's form, and for numbers that are too long for an option.
pub fn sent(name: &str, value: &str) -> Result<String, InvalidAttribute> {
    let mut one = Attributes::default();
    one.set(name, Some(value))?;
    let written = one.written();
    let text = written.into_iter().map(|(_, text)| text).next();
    text.filter(|text| text.len() <= MAX_VALUE_BYTES)
        .ok_or_else(|| InvalidAttribute::Value {
            name: name.to_owned(),
            value: value.chars().take(40).collect(),
            wanted: "a number of at most 40 digits",
        })
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
        if let Some(value) = value {
            sent(name, value)?;
        }
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
                since,
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

/// The longest value of an attribute, in bytes. A query has 255 (RFC 7252 section 5.10).
const MAX_VALUE_BYTES: usize = 40;

#[cfg(test)]
#[path = "attributes_tests.rs"]
mod tests;
