//! The types that can stand in CAST and before a literal, as Arrow types.
//!
//! Types of columns are read by `ddl::types`; both agree on the mapping.

use crate::ddl;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::planner::TypePlanner;
use sqlparser::ast::{self, ExactNumberInfo, TimezoneInfo};
use std::sync::Arc;

/// The Arrow type, or what works instead.
pub(crate) fn cast_type(sql: &ast::DataType) -> std::result::Result<DataType, String> {
    use ast::DataType as Sql;
    Ok(match sql {
        Sql::String(None) | Sql::Varchar(None) | Sql::Char(None) => DataType::Utf8,
        Sql::Varchar(Some(_)) | Sql::Char(Some(_)) | Sql::String(Some(_)) => {
            return Err("CAST(x AS STRING), and LEFT(x, n) to cut it".into());
        }
        Sql::Boolean | Sql::Bool => DataType::Boolean,
        Sql::TinyInt(None) => DataType::Int8,
        Sql::SmallInt(None) => DataType::Int16,
        Sql::Int(None) | Sql::Integer(None) => DataType::Int32,
        Sql::BigInt(None) => DataType::Int64,
        Sql::Float(ExactNumberInfo::None) | Sql::Real => DataType::Float32,
        Sql::Double(ExactNumberInfo::None) | Sql::DoublePrecision => DataType::Float64,
        Sql::Decimal(info) | Sql::Numeric(info) | Sql::Dec(info) => decimal(*info)?,
        Sql::Date => DataType::Date32,
        Sql::Time(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => DataType::Time32(TimeUnit::Millisecond),
        Sql::Timestamp(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            DataType::Timestamp(ddl::unit_of(precision.unwrap_or(6)), None)
        }
        Sql::Timestamp(..) => return Err("TIMESTAMP_LTZ(3), a moment in time".into()),
        Sql::Bytes(None) | Sql::Varbinary(None) | Sql::Binary(None) => DataType::Binary,
        Sql::Custom(name, arguments) => custom(&name.to_string(), arguments)?,
        Sql::Array(_) | Sql::Map(..) | Sql::Struct(..) => {
            return Err("its elements and fields can be cast one by one".into());
        }
        _ => return Err("STRING, BOOLEAN, TINYINT to BIGINT, FLOAT, DOUBLE, DECIMAL(p, s), DATE, TIME, TIMESTAMP(p), TIMESTAMP_LTZ(p), BYTES".into()),
    })
}

fn decimal(info: ExactNumberInfo) -> std::result::Result<DataType, String> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => (10, 0),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(p @ 1..=38), Ok(s)) if s >= 0 && i64::from(p) >= scale => Ok(DataType::Decimal128(p, s)),
        _ => Err("DECIMAL(p, s) with p from 1 to 38 and s from 0 to p".into()),
    }
}

fn custom(name: &str, arguments: &[String]) -> std::result::Result<DataType, String> {
    let precision = arguments.first().map_or(Ok(6), |text| text.parse::<u64>()).unwrap_or(10);
    match name.to_ascii_uppercase().as_str() {
        "TIMESTAMP_LTZ" if precision <= 9 => Ok(DataType::Timestamp(ddl::unit_of(precision), Some("UTC".into()))),
        "TIMESTAMP_LTZ" => Err("TIMESTAMP_LTZ(p) with p from 0 to 9".into()),
        _ => Err("a type of Flink's, such as STRING, BIGINT or TIMESTAMP_LTZ(3)".into()),
    }
}

/// Hands the mapping to DataFusion.
#[derive(Debug)]
pub(crate) struct FlinkTypes;

impl TypePlanner for FlinkTypes {
    fn plan_type_field(&self, sql: &ast::DataType) -> Result<Option<FieldRef>> {
        match cast_type(sql) {
            Ok(data_type) => Ok(Some(Arc::new(Field::new("", data_type, true)))),
            Err(help) => plan_err!("the type {sql} is not supported here; works: {help}"),
        }
    }
}
