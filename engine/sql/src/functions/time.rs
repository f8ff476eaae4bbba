//! DATE_FORMAT, TO_TIMESTAMP, TO_TIMESTAMP_LTZ, UNIX_TIMESTAMP(text). The session's time zone is UTC.
//!
//! What cannot be read as a time becomes null, as in Flink; a null event time then leaves by the dead-letter exit.

use super::pattern::Pattern;
use aqueduct_core::json::{TimestampFormat, parse_timestamp};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray, StringBuilder, TimestampMillisecondArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, FieldRef, Int64Type, TimeUnit, TimestampMillisecondType, TimestampNanosecondType,
};
use chrono::{DateTime, NaiveDateTime, TimeZone, Utc};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    DateFormat,
    ToTimestamp,
    ToTimestampLtz,
    UnixTimestamp,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeFunction {
    kind: Kind,
    signature: Signature,
}

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    [Kind::DateFormat, Kind::ToTimestamp, Kind::ToTimestampLtz, Kind::UnixTimestamp]
        .into_iter()
        .map(|kind| {
            Arc::new(ScalarUDF::from(TimeFunction { kind, signature: Signature::user_defined(Volatility::Immutable) }))
        })
        .collect()
}

impl ScalarUDFImpl for TimeFunction {
    fn name(&self) -> &str {
        match self.kind {
            Kind::DateFormat => "date_format",
            Kind::ToTimestamp => "to_timestamp",
            Kind::ToTimestampLtz => "to_timestamp_ltz",
            Kind::UnixTimestamp => "unix_timestamp",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let text = |kept: &DataType| if *kept == DataType::Null { DataType::Utf8 } else { kept.clone() };
        match (self.kind, arguments) {
            (Kind::DateFormat, [time, _pattern]) => match time {
                DataType::Timestamp(_, zone) => {
                    Ok(vec![DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()), DataType::Utf8])
                }
                DataType::Date32 => Ok(vec![DataType::Timestamp(TimeUnit::Nanosecond, None), DataType::Utf8]),
                DataType::Utf8 | DataType::Null => Ok(vec![DataType::Utf8, DataType::Utf8]),
                other => plan_err!("DATE_FORMAT takes a TIMESTAMP and a pattern, not {}", crate::ddl::sql_name(other)),
            },
            (Kind::ToTimestampLtz, [number, rest @ ..]) if number.is_integer() && rest.len() <= 1 => {
                Ok(std::iter::repeat_n(DataType::Int64, arguments.len()).collect())
            }
            (Kind::ToTimestamp | Kind::ToTimestampLtz | Kind::UnixTimestamp, [value, rest @ ..])
                if text(value) == DataType::Utf8 && rest.len() <= 1 =>
            {
                Ok(std::iter::repeat_n(DataType::Utf8, arguments.len()).collect())
            }
            (Kind::ToTimestampLtz, _) => plan_err!(
                "TO_TIMESTAMP_LTZ takes an integer and a precision (0 for seconds, 3 for milliseconds), or a text and a pattern"
            ),
            _ => plan_err!("{} takes a text and, if wanted, a pattern", self.name().to_uppercase()),
        }
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            Kind::DateFormat => DataType::Utf8,
            Kind::ToTimestamp => DataType::Timestamp(TimeUnit::Millisecond, None),
            Kind::ToTimestampLtz => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Kind::UnixTimestamp => DataType::Int64,
        })
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = arguments.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        if types.len() > 1 {
            let second = arguments.scalar_arguments.get(1).copied().flatten();
            match second {
                Some(ScalarValue::Utf8(Some(_)) | ScalarValue::Utf8View(Some(_)) | ScalarValue::LargeUtf8(Some(_))) => {
                    pattern_of(second)?;
                }
                Some(number) if types[1].is_integer() => {
                    precision_of(Some(number))?;
                }
                _ => {
                    return plan_err!("the second argument of {} must be a literal", self.name().to_uppercase());
                }
            }
        }
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, true)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let second = match arguments.args.get(1) {
            Some(ColumnarValue::Scalar(value)) => Some(value.clone()),
            Some(ColumnarValue::Array(array)) if !array.is_empty() => Some(ScalarValue::try_from_array(array, 0)?),
            _ => None,
        };
        let Some(first) = arguments.args.first() else { return exec_err!("{} takes arguments", self.name()) };
        let values = first.to_array(arguments.number_rows)?;
        let result: ArrayRef = match self.kind {
            Kind::DateFormat => date_format(&values, second.as_ref())?,
            Kind::ToTimestamp => Arc::new(read_times(&values, second.as_ref())?),
            Kind::ToTimestampLtz if values.data_type().is_integer() => {
                Arc::new(from_numbers(&values, precision_of(second.as_ref())?)?.with_timezone("UTC"))
            }
            Kind::ToTimestampLtz => Arc::new(read_times(&values, second.as_ref())?.with_timezone("UTC")),
            Kind::UnixTimestamp => {
                let millis = read_times(&values, second.as_ref())?;
                Arc::new(millis.iter().map(|ms| ms.map(|ms| ms.div_euclid(1000))).collect::<Int64Array>())
            }
        };
        Ok(ColumnarValue::Array(result))
    }
}

fn pattern_of(scalar: Option<&ScalarValue>) -> Result<Option<Pattern>> {
    match scalar.and_then(|value| value.try_as_str().flatten()) {
        None => Ok(None),
        Some(text) => match Pattern::parse(text) {
            Ok(pattern) => Ok(Some(pattern)),
            Err(why) => plan_err!("{why}"),
        },
    }
}

fn precision_of(scalar: Option<&ScalarValue>) -> Result<i64> {
    match scalar.map(|value| value.cast_to(&DataType::Int64)).transpose()? {
        Some(ScalarValue::Int64(Some(0))) => Ok(1000),
        None | Some(ScalarValue::Int64(Some(3))) => Ok(1),
        _ => plan_err!("the precision of TO_TIMESTAMP_LTZ is 0 (seconds) or 3 (milliseconds)"),
    }
}

fn from_numbers(values: &ArrayRef, factor: i64) -> Result<TimestampMillisecondArray> {
    let values = cast(values, &DataType::Int64)?;
    Ok(values
        .as_primitive::<Int64Type>()
        .iter()
        .map(|value| value.and_then(|number| number.checked_mul(factor)))
        .collect())
}

/// `pattern`, or the ISO and SQL forms.
fn read_times(values: &ArrayRef, pattern: Option<&ScalarValue>) -> Result<TimestampMillisecondArray> {
    let pattern = pattern_of(pattern)?;
    let values = cast(values, &DataType::Utf8)?;
    let texts: &StringArray = values.as_string();
    let read = |text: &str| match &pattern {
        Some(pattern) => pattern.read(text).map(|at: NaiveDateTime| at.and_utc().timestamp_millis()),
        None => {
            parse_timestamp(text, TimestampFormat::Iso8601, true).ok().and_then(|at| at.in_unit(TimeUnit::Millisecond))
        }
    };
    Ok(texts.iter().map(|text| text.and_then(read)).collect())
}

fn date_format(values: &ArrayRef, pattern: Option<&ScalarValue>) -> Result<ArrayRef> {
    let Some(pattern) = pattern_of(pattern)? else { return exec_err!("DATE_FORMAT needs a pattern") };
    let mut out = StringBuilder::with_capacity(values.len(), values.len() * 16);
    let mut buffer = String::new();
    let mut write = |at: Option<DateTime<Utc>>| match at {
        Some(at) => {
            buffer.clear();
            pattern.write(at, &mut buffer);
            out.append_value(&buffer);
        }
        None => out.append_null(),
    };
    match values.data_type() {
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            let times = values.as_primitive::<TimestampNanosecondType>();
            times.iter().for_each(|at| write(at.map(|nanos| Utc.timestamp_nanos(nanos))));
        }
        _ => {
            let parsed = read_times(values, None)?;
            let times: &arrow::array::PrimitiveArray<TimestampMillisecondType> = &parsed;
            times.iter().for_each(|at| write(at.and_then(DateTime::from_timestamp_millis)));
        }
    }
    Ok(Arc::new(out.finish()))
}
