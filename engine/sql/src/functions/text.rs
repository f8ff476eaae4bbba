//! CONCAT, REGEXP_EXTRACT, SPLIT_INDEX: text functions whose meaning in Flink differs from DataFusion's, or that it
//! lacks.

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use regex::Regex;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// Null when one argument is null (DataFusion's passes over nulls).
    Concat,
    /// `REGEXP_EXTRACT(text, regex[, group])`: null without a match.
    RegexpExtract,
    /// `SPLIT_INDEX(text, separator, index)`: counted from 0, null outside.
    SplitIndex,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TextFunction {
    kind: Kind,
    signature: Signature,
}

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    [Kind::Concat, Kind::RegexpExtract, Kind::SplitIndex]
        .into_iter()
        .map(|kind| {
            Arc::new(ScalarUDF::from(TextFunction { kind, signature: Signature::user_defined(Volatility::Immutable) }))
        })
        .collect()
}

impl ScalarUDFImpl for TextFunction {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Concat => "concat",
            Kind::RegexpExtract => "regexp_extract",
            Kind::SplitIndex => "split_index",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let number = |argument: &DataType| argument.is_integer() || *argument == DataType::Null;
        match (self.kind, arguments) {
            (Kind::Concat, [_, ..]) => Ok(vec![DataType::Utf8; arguments.len()]),
            (Kind::RegexpExtract, [_, _]) => Ok(vec![DataType::Utf8; 2]),
            (Kind::RegexpExtract | Kind::SplitIndex, [_, _, index]) if number(index) => {
                Ok(vec![DataType::Utf8, DataType::Utf8, DataType::Int64])
            }
            (Kind::Concat, _) => plan_err!("CONCAT takes at least one argument"),
            (Kind::RegexpExtract, _) => {
                plan_err!("REGEXP_EXTRACT takes a text, a regular expression and, if wanted, a group's number")
            }
            (Kind::SplitIndex, _) => plan_err!("SPLIT_INDEX takes a text, a separator and a number, counted from 0"),
        }
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let arrays = arguments.args.iter().map(|value| value.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let result = match (self.kind, arrays.as_slice()) {
            (Kind::Concat, arrays) => concat(arrays, rows)?,
            (Kind::RegexpExtract, [text, regex]) => extract(text, regex, None)?,
            (Kind::RegexpExtract, [text, regex, group]) => extract(text, regex, Some(group))?,
            (Kind::SplitIndex, [text, separator, index]) => split(text, separator, index)?,
            _ => return exec_err!("{} was called with {} arguments", self.name(), arrays.len()),
        };
        Ok(ColumnarValue::Array(Arc::new(result)))
    }
}

fn concat(arrays: &[ArrayRef], rows: usize) -> Result<StringArray> {
    let texts = arrays.iter().map(|array| cast(array, &DataType::Utf8)).collect::<std::result::Result<Vec<_>, _>>()?;
    let texts: Vec<&StringArray> = texts.iter().map(|array| array.as_string()).collect();
    let row = |row: usize| {
        let mut joined = String::new();
        for text in &texts {
            if text.is_null(row) {
                return None;
            }
            joined.push_str(text.value(row));
        }
        Some(joined)
    };
    Ok((0..rows).map(row).collect())
}

fn extract(text: &ArrayRef, pattern: &ArrayRef, group: Option<&ArrayRef>) -> Result<StringArray> {
    let (texts, patterns) = (text.as_string::<i32>(), pattern.as_string::<i32>());
    // One regular expression per batch is the rule; it is compiled when it changes.
    let mut compiled: Option<(String, Regex)> = None;
    let mut out = Vec::with_capacity(texts.len());
    for row in 0..texts.len() {
        if texts.is_null(row) || patterns.is_null(row) {
            out.push(None);
            continue;
        }
        let wanted = patterns.value(row);
        if compiled.as_ref().is_none_or(|(text, _)| text != wanted) {
            let regex = Regex::new(wanted).map_err(|error| {
                exec_datafusion_err!("REGEXP_EXTRACT: '{wanted}' is not a regular expression: {error}")
            })?;
            compiled = Some((wanted.to_string(), regex));
        }
        let index = group.map_or(Some(0), |group| {
            let group = group.as_primitive::<Int64Type>();
            (!group.is_null(row)).then(|| usize::try_from(group.value(row)).ok()).flatten()
        });
        let found = compiled.as_ref().zip(index).and_then(|((_, regex), index)| {
            regex.captures(texts.value(row)).and_then(|groups| groups.get(index)).map(|found| found.as_str())
        });
        out.push(found);
    }
    Ok(out.into_iter().collect())
}

fn split(text: &ArrayRef, separator: &ArrayRef, index: &ArrayRef) -> Result<StringArray> {
    let (texts, separators) = (text.as_string::<i32>(), separator.as_string::<i32>());
    let index = index.as_primitive::<Int64Type>();
    let row = |row: usize| {
        if texts.is_null(row) || separators.is_null(row) || index.is_null(row) || separators.value(row).is_empty() {
            return None;
        }
        let wanted = usize::try_from(index.value(row)).ok()?;
        texts.value(row).split(separators.value(row)).nth(wanted)
    };
    Ok((0..texts.len()).map(row).collect())
}
