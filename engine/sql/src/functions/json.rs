//! JSON_OBJECT: rows of values as JSON text. Timestamps are RFC 3339, as everywhere in the engine.
//!
//! `rewrite` calls it as `aqueduct_json_object(flags, k1, v1, k2, v2, ...)`: the first flag is `n` (NULL ON NULL) or
//! `a` (ABSENT ON NULL),
//! then one per value: `v` for a value, `j` for a text that is JSON already (a JSON_OBJECT inside).

use aqueduct_core::json::value_to_json;
use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::sync::Arc;

/// The name that `rewrite` uses.
pub(crate) const NAME: &str = "aqueduct_json_object";

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonObject {
    signature: Signature,
}

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::new(ScalarUDF::from(JsonObject { signature: Signature::user_defined(Volatility::Immutable) }))]
}

impl ScalarUDFImpl for JsonObject {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        if arguments.len().is_multiple_of(2) {
            return plan_err!("JSON_OBJECT takes pairs: JSON_OBJECT(KEY 'k' VALUE v, ...)");
        }
        let kept = |(index, argument): (usize, &DataType)| {
            if index % 2 == 1 || index == 0 { DataType::Utf8 } else { argument.clone() }
        };
        Ok(arguments.iter().enumerate().map(kept).collect())
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let arrays = arguments.args.iter().map(|value| value.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let Some((flags, pairs)) = arrays.split_first() else {
            return exec_err!("JSON_OBJECT was called without flags");
        };
        let flags = if rows == 0 { Vec::new() } else { flags.as_string::<i32>().value(0).chars().collect() };
        let mut out = StringBuilder::with_capacity(rows, rows * 64);
        for row in 0..rows {
            out.append_value(object(&flags, pairs, row)?);
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }
}

fn object(flags: &[char], pairs: &[ArrayRef], row: usize) -> Result<String> {
    let absent = flags.first() == Some(&'a');
    let mut map = serde_json::Map::with_capacity(pairs.len() / 2);
    for (index, pair) in pairs.chunks_exact(2).enumerate() {
        let key = cast(&pair[0], &DataType::Utf8)?;
        let key = key.as_string::<i32>();
        if key.is_null(row) {
            return exec_err!("a key of JSON_OBJECT is null");
        }
        let value = &pair[1];
        if absent && value.is_null(row) {
            continue;
        }
        let nested = flags.get(index + 1) == Some(&'j') && *value.data_type() == DataType::Utf8 && !value.is_null(row);
        let json = if nested {
            let text = value.as_string::<i32>().value(row);
            serde_json::from_str(text).unwrap_or_else(|_| serde_json::Value::String(text.to_string()))
        } else {
            value_to_json(value, row)
        };
        map.insert(key.value(row).to_string(), json);
    }
    Ok(serde_json::Value::Object(map).to_string())
}
