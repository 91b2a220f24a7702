//! What SenML-JSON, SenML-CBOR and the JSON of LwM2M 1.0 share: records, base name and base time
//! (RFC 8428 section 4.1), and the choice of names when writing.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::domain::{Node, Path, Timestamp, Value};

use super::typed::{Number, Raw, shorten};
use super::{Changes, CodecError, Context, MAX_NAME_BYTES, MAX_NODES, RELATIVE_BELOW_MILLIS};

/// One record, its values still raw.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Record<'a> {
    pub(super) base_name: Option<Cow<'a, str>>,
    pub(super) base_time: Option<f64>,
    pub(super) base_value: Option<Number>,
    pub(super) name: Option<Cow<'a, str>>,
    pub(super) time: Option<f64>,
    pub(super) value: Option<Raw>,
    /// A value field was there and null.
    pub(super) is_null: bool,
    /// There was a sum, which is the value integrated over time.
    pub(super) has_sum: bool,
}

/// Refuses SenML of a later version (RFC 8428 section 4.4).
pub(super) fn check_version(format: &'static str, version: Number) -> Result<(), CodecError> {
    if version.as_f64() > SENML_VERSION {
        let version = version.as_f64();
        return Err(CodecError::malformed(
            format,
            format!("version {version} is not known, {SENML_VERSION} is"),
        ));
    }
    Ok(())
}

/// Resolves records to nodes; those without a value say that there is none at present and are left
/// out.
pub(super) fn resolve(
    format: &'static str,
    records: Vec<Record<'_>>,
    context: &Context<'_>,
) -> Result<Vec<Node>, CodecError> {
    resolve_each(format, records, context, |_| Ok(()))
}

/// Resolves the records of a Write-Composite in SenML-ETCH (RFC 8790 section 3.2): what to write,
/// and which resource instances to remove. Those are the records without a value, be it null or not
/// there at all.
pub(super) fn changes(
    format: &'static str,
    records: Vec<Record<'_>>,
    context: &Context<'_>,
) -> Result<Changes, CodecError> {
    let mut removed = Vec::new();
    let nodes = resolve_each(format, records, context, |name| {
        let path = parse(format, name)?;
        if path.depth() != 4 {
            return Err(CodecError::malformed(
                format,
                format!("{path} is no resource instance; only those can be removed"),
            ));
        }
        removed.push(path);
        Ok(())
    })?;
    Ok(Changes { nodes, removed })
}

/// Resolves records; those that have a name of their own and no value go to `valueless`.
fn resolve_each(
    format: &'static str,
    records: Vec<Record<'_>>,
    context: &Context<'_>,
    mut valueless: impl FnMut(&str) -> Result<(), CodecError>,
) -> Result<Vec<Node>, CodecError> {
    let mut base_name = Cow::Borrowed("");
    let mut base_time = 0.0;
    let mut base_value = None;
    let mut nodes = Vec::with_capacity(records.len());
    for record in records {
        if let Some(name) = record.base_name {
            base_name = checked(format, name)?;
        }
        base_time = record.base_time.unwrap_or(base_time);
        base_value = record.base_value.or(base_value);
        let raw = match (record.value, base_value) {
            (Some(Raw::Number(number)), Some(base)) => Raw::Number(sum(base, number)),
            (Some(raw), _) => raw,
            (None, _) if record.has_sum => {
                return Err(CodecError::malformed(
                    format,
                    "a sum alone is no value of a resource",
                ));
            }
            (None, _) => {
                if record.name.is_some() || record.is_null {
                    let name = checked(format, record.name.unwrap_or_default())?;
                    valueless(&joined(&base_name, &name))?;
                }
                continue;
            }
        };
        let name = checked(format, record.name.unwrap_or_default())?;
        let path = locate(format, &base_name, &name, context)?;
        let time = moment(format, base_time + record.time.unwrap_or(0.0), context)?;
        nodes.push(Node {
            path,
            value: fit(raw, &path, context)?,
            time,
        });
    }
    Ok(nodes)
}

/// The value as the type of its model.
pub(super) fn fit(raw: Raw, path: &Path, context: &Context<'_>) -> Result<Value, CodecError> {
    let Some(wanted) = context.value_type(path) else {
        return raw.typed(path, None);
    };
    match raw.fitting(wanted) {
        Ok(value) => Ok(value),
        Err(raw) => context.fit(Err(raw.is_no(path, wanted)), || raw.typed(path, None).ok()),
    }
}

/// The paths that records name.
pub(super) fn paths(
    format: &'static str,
    records: Vec<Record<'_>>,
) -> Result<Vec<Path>, CodecError> {
    let mut base_name = Cow::Borrowed("");
    let mut paths = Vec::with_capacity(records.len());
    for record in records {
        let no_name = record.name.is_none() && record.base_name.is_none();
        if let Some(name) = record.base_name {
            base_name = checked(format, name)?;
        }
        if no_name {
            return Err(CodecError::malformed(format, "a record names no path"));
        }
        let name = checked(format, record.name.unwrap_or_default())?;
        paths.push(parse(format, &joined(&base_name, &name))?);
    }
    Ok(paths)
}

/// Refuses names that could blow up: the base name is put in front of each record's.
fn checked<'a>(format: &'static str, name: Cow<'a, str>) -> Result<Cow<'a, str>, CodecError> {
    if name.len() > MAX_NAME_BYTES {
        return Err(CodecError::malformed(
            format,
            format!("a name has more than {MAX_NAME_BYTES} bytes"),
        ));
    }
    Ok(name)
}

/// The path of a record: the base name and the name in one, with or without the alternate root,
/// and, as the JSON of 1.0 allows, relative to what was asked for when there is no base name.
fn locate(
    format: &'static str,
    base_name: &str,
    name: &str,
    context: &Context<'_>,
) -> Result<Path, CodecError> {
    let base = context.base;
    let full = joined(base_name, name);
    let text = match full.strip_prefix(context.root) {
        Some(inner) if !context.root.is_empty() && inner.starts_with('/') => inner,
        _ => &full,
    };
    if text.is_empty() && base.depth() >= 3 {
        return Ok(base);
    }
    let parsed = parse(format, text);
    if let Ok(path) = &parsed
        && !text.starts_with('/')
        && (!base.contains(path) || path.depth() < 3)
    {
        let relative = format!(
            "{}/{text}",
            if base == Path::ROOT {
                String::new()
            } else {
                base.to_string()
            }
        );
        if let Ok(inner) = relative.parse::<Path>()
            && inner.depth() >= 3
        {
            return Ok(inner);
        }
    }
    let path = parsed?;
    if path.depth() < 3 {
        return Err(CodecError::malformed(
            format,
            format!("{path} has a value but is no resource"),
        ));
    }
    if !base.contains(&path) {
        return Err(CodecError::Outside { path, base });
    }
    Ok(path)
}

/// The base name and the name in one. Between two slashes there is nothing: some clients end the
/// one with a slash and begin the other with one too.
fn joined<'a>(base_name: &'a str, name: &'a str) -> Cow<'a, str> {
    let base_name = match base_name.strip_suffix('/') {
        Some(base) if name.starts_with('/') => base,
        _ => base_name,
    };
    match (base_name, name) {
        (one, "") | ("", one) => Cow::Borrowed(one),
        _ => Cow::Owned([base_name, name].concat()),
    }
}

fn parse(format: &'static str, text: &str) -> Result<Path, CodecError> {
    text.parse().map_err(|_| {
        CodecError::malformed(format, format!("the name {:?} is no path", shorten(text)))
    })
}

fn sum(base: Number, number: Number) -> Number {
    match (base, number) {
        (Number::Integer(base), Number::Integer(number)) => {
            Number::Integer(base.saturating_add(number))
        }
        (base, number) => Number::Float(base.as_f64() + number.as_f64()),
    }
}

/// The moment of a resolved time in seconds; 0 means now and says nothing.
fn moment(
    format: &'static str,
    seconds: f64,
    context: &Context<'_>,
) -> Result<Option<Timestamp>, CodecError> {
    if seconds == 0.0 {
        return Ok(None);
    }
    let moment = if context.strict {
        Timestamp::from_seconds(seconds)
    } else {
        Timestamp::reported(seconds)
    };
    match moment {
        Some(moment) => Ok(Some(moment)),
        None => Err(CodecError::malformed(
            format,
            format!("the timestamp {seconds} is outside the years 0 to 9999"),
        )),
    }
}

/// A moment as SenML writes it: whole seconds as integer, else with milliseconds.
pub(super) fn seconds(time: Timestamp) -> Result<Number, CodecError> {
    let millis = time.as_millis();
    if millis < RELATIVE_BELOW_MILLIS {
        return Err(CodecError::NotEncodable(format!(
            "SenML cannot express the timestamp {time}: what lies before July 1978 counts from now"
        )));
    }
    Ok(if millis.rem_euclid(1000) == 0 {
        Number::Integer(i128::from(millis.div_euclid(1000)))
    } else {
        Number::Float(millis as f64 / 1000.0)
    })
}

/// How the nodes of one payload are named.
pub(super) enum Names {
    /// Each by its whole path.
    Absolute,
    /// By what follows this base name; a node at `base` itself by nothing.
    Relative { base: Path, base_name: String },
}

impl Names {
    /// The shortest way to name nodes that all lie within `base`.
    pub(super) fn choose(base: Path, nodes: &[Node]) -> Self {
        let at_base = nodes.iter().filter(|node| node.path == base).count();
        if base == Path::ROOT || (at_base > 0 && at_base < nodes.len()) {
            return Self::Absolute;
        }
        let slash = if at_base > 0 { "" } else { "/" };
        Self::Relative {
            base,
            base_name: format!("{base}{slash}"),
        }
    }

    /// The base name, which the first record carries.
    pub(super) fn base_name(&self) -> Option<&str> {
        match self {
            Self::Absolute => None,
            Self::Relative { base_name, .. } => Some(base_name),
        }
    }

    /// The name of one node.
    pub(super) fn name(&self, path: &Path) -> Option<String> {
        match self {
            Self::Absolute => Some(path.to_string()),
            Self::Relative { base, .. } => {
                let rest = path.ids().get(base.depth()..).unwrap_or(&[]);
                let ids: Vec<String> = rest.iter().map(u16::to_string).collect();
                (!ids.is_empty()).then(|| ids.join("/"))
            }
        }
    }
}

/// Reads base64 of both alphabets, with padding or without.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let alphabet = if text.contains(['-', '_']) {
        &alphabet::URL_SAFE
    } else {
        &alphabet::STANDARD
    };
    GeneralPurpose::new(alphabet, config).decode(text).ok()
}

/// An array of records, at most [`MAX_NODES`].
pub(super) struct Pack<K, V>(pub(super) Vec<Fields<K, V>>);

/// The fields of one map, in their order; a field that comes twice is an error.
pub(super) struct Fields<K, V>(pub(super) Vec<(K, V)>);

impl<'de, K, V> Deserialize<'de> for Pack<K, V>
where
    Fields<K, V>: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Records<K, V>(PhantomData<(K, V)>);
        impl<'de, K, V> Visitor<'de> for Records<K, V>
        where
            Fields<K, V>: Deserialize<'de>,
        {
            type Value = Pack<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of records")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut records = Vec::new();
                while let Some(record) = seq.next_element()? {
                    if records.len() >= MAX_NODES {
                        return Err(A::Error::custom(format!("more than {MAX_NODES} records")));
                    }
                    records.push(record);
                }
                Ok(Pack(records))
            }
        }
        deserializer.deserialize_seq(Records(PhantomData))
    }
}

impl<'de, K: Deserialize<'de> + PartialEq, V: Deserialize<'de>> Deserialize<'de> for Fields<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<K, V>(PhantomData<(K, V)>);
        impl<'de, K: Deserialize<'de> + PartialEq, V: Deserialize<'de>> Visitor<'de> for Entries<K, V> {
            type Value = Fields<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields: Vec<(K, V)> = Vec::new();
                while let Some((key, value)) = map.next_entry()? {
                    if fields.len() >= MAX_FIELDS {
                        return Err(A::Error::custom(format!("more than {MAX_FIELDS} fields")));
                    }
                    if fields.iter().any(|(known, _)| *known == key) {
                        return Err(A::Error::custom("a field comes twice"));
                    }
                    fields.push((key, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// The version of SenML that RFC 8428 defines.
const SENML_VERSION: f64 = 10.0;

/// RFC 8428 defines 16 fields; extensions may add some.
pub(super) const MAX_FIELDS: usize = 32;
