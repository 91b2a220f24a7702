//! Values as columns of `resource`, and as JSON inside of stored operations.

use flownexus_entity::resource;
use sea_orm::Value as Bind;
use serde_json::{Value as Json, json};

use super::StoreError;
use crate::domain::{Node, Path, Timestamp, Value, ValueType};

/// The value columns of one row, in the order of the table.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Columns {
    integer: Option<i64>,
    float: Option<f64>,
    text: Option<String>,
    boolean: Option<bool>,
    time: Option<i64>,
    opaque: Option<Vec<u8>>,
    objlnk: Option<String>,
}

impl Columns {
    /// Where a value goes.
    pub(super) fn of(value: &Value) -> Self {
        let mut columns = Self::default();
        match value {
            Value::Boolean(on) => columns.boolean = Some(*on),
            // PostgreSQL has no NUL in texts; devices have.
            Value::Corelink(text) | Value::String(text) if text.contains('\0') => {
                columns.opaque = Some(text.clone().into_bytes());
            }
            Value::Corelink(text) | Value::String(text) => columns.text = Some(text.clone()),
            // SQLite makes NULL of NaN by itself; here both databases do.
            Value::Float(number) => columns.float = Some(*number).filter(|number| !number.is_nan()),
            Value::Integer(number) => columns.integer = Some(*number),
            Value::Objlnk(link) => columns.objlnk = Some(link.to_string()),
            Value::Opaque(bytes) => columns.opaque = Some(bytes.clone()),
            Value::Time(seconds) => columns.time = Some(*seconds),
            Value::UnsignedInteger(number) => match i64::try_from(*number) {
                Ok(number) => columns.integer = Some(number),
                // Exact as text; the approximation is what a chart draws.
                Err(_) => {
                    columns.text = Some(number.to_string());
                    columns.float = Some(*number as f64);
                }
            },
        }
        columns
    }

    /// The columns of a row that was read.
    pub(super) fn read(row: resource::Model) -> (String, Self) {
        let columns = Self {
            integer: row.value_integer,
            float: row.value_float,
            text: row.value_text,
            boolean: row.value_boolean,
            time: row.value_time,
            opaque: row.value_opaque,
            objlnk: row.value_objlnk,
        };
        (row.value_type, columns)
    }

    /// The value, or nothing when the column of its type is empty or makes no sense.
    pub(super) fn value(self, value_type: ValueType) -> Option<Value> {
        let text = |text: Option<String>, opaque: Option<Vec<u8>>| {
            text.or_else(|| String::from_utf8(opaque?).ok())
        };
        Some(match value_type {
            ValueType::Boolean => Value::Boolean(self.boolean?),
            ValueType::Corelink => Value::Corelink(text(self.text, self.opaque)?),
            ValueType::Float => Value::Float(self.float.unwrap_or(f64::NAN)),
            ValueType::Integer => Value::Integer(self.integer?),
            ValueType::Objlnk => Value::Objlnk(self.objlnk?.parse().ok()?),
            ValueType::Opaque => Value::Opaque(self.opaque?),
            ValueType::String => Value::String(text(self.text, self.opaque)?),
            ValueType::Time => Value::Time(self.time?),
            ValueType::UnsignedInteger => Value::UnsignedInteger(match self.integer {
                Some(number) => number.try_into().ok()?,
                None => self.text?.parse().ok()?,
            }),
        })
    }

    /// The values to bind, in the order of the table.
    pub(super) fn bind(self, row: &mut Vec<Bind>) {
        row.extend([
            self.integer.into(),
            self.float.into(),
            self.text.into(),
            self.boolean.into(),
            self.time.into(),
            self.opaque.into(),
            self.objlnk.into(),
        ]);
    }
}

/// A row of `resource` in the words of the domain.
pub(super) fn node(row: resource::Model) -> Result<Node, StoreError> {
    let corrupt = |why: String| StoreError::Corrupt { what: "value", why };
    let levels = [
        Some(row.object_id),
        Some(row.object_instance_id),
        Some(row.resource_id),
        row.resource_instance_id,
    ];
    let ids: Option<Vec<u16>> = levels
        .into_iter()
        .flatten()
        .map(|id| u16::try_from(id).ok())
        .collect();
    let path = ids
        .as_deref()
        .and_then(Path::from_ids)
        .ok_or_else(|| corrupt(format!("row {} has no valid path", row.id)))?;
    let time = row
        .measured_by_device
        .then(|| Timestamp::clamped_from_millis(row.measured_at));
    let id = row.id;
    let (value_type, columns) = Columns::read(row);
    let value_type = value_type.parse().map_err(corrupt)?;
    let value = columns
        .value(value_type)
        .ok_or_else(|| corrupt(format!("row {id} holds no {value_type}")))?;
    Ok(Node { path, value, time })
}

/// [`Node::to_json`], but exact: it keeps the floats that JSON has no number for.
pub(super) fn node_to_json(node: &Node) -> Json {
    let mut json = node.to_json();
    if let Value::Float(number) = node.value
        && !number.is_finite()
    {
        json["value"] = json!(number.to_string());
    }
    json
}

/// Reads what [`node_to_json`] wrote.
pub(super) fn node_from_json(json: &Json) -> Result<Node, String> {
    let special = match json.get("value").and_then(Json::as_str) {
        Some("NaN") => f64::NAN,
        Some("inf") => f64::INFINITY,
        Some("-inf") => f64::NEG_INFINITY,
        _ => return Node::from_json(json),
    };
    if json.get("type").and_then(Json::as_str) != Some(ValueType::Float.name()) {
        return Node::from_json(json);
    }
    let mut plain = json.clone();
    plain["value"] = Json::Null;
    let mut node = Node::from_json(&plain)?;
    node.value = Value::Float(special);
    Ok(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_beyond_i64_survive_as_text_with_an_approximation() {
        let columns = Columns::of(&Value::UnsignedInteger(u64::MAX));
        assert_eq!(columns.text.as_deref(), Some("18446744073709551615"));
        assert_eq!(columns.float, Some(u64::MAX as f64));
        assert_eq!(
            columns.value(ValueType::UnsignedInteger),
            Some(Value::UnsignedInteger(u64::MAX))
        );
    }

    #[test]
    fn a_text_with_nul_survives() {
        let value = Value::String("a\0b".into());
        let columns = Columns::of(&value);
        assert_eq!(columns.text, None);
        assert_eq!(columns.value(ValueType::String), Some(value));
    }

    #[test]
    fn floats_without_a_json_number_survive() {
        for number in [f64::INFINITY, f64::NEG_INFINITY, 21.5] {
            let node = Node::new(Path::resource(3303, 0, 5700), Value::Float(number));
            assert_eq!(node_from_json(&node_to_json(&node)), Ok(node));
        }
        let node = Node::new(Path::resource(3303, 0, 5700), Value::Float(f64::NAN));
        let read = node_from_json(&node_to_json(&node)).expect("a node");
        assert!(matches!(read.value, Value::Float(number) if number.is_nan()));
        let text = Node::new(Path::resource(3, 0, 0), Value::String("inf".into()));
        assert_eq!(node_from_json(&node_to_json(&text)), Ok(text));
    }
}
