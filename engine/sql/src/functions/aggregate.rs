//! COUNT, SUM, MIN, MAX and AVG with Flink's types. Only names and types: the runtime accumulates.
//!
//! `SUM` of any integer is BIGINT (Flink keeps INT, which overflows sooner). `AVG` of an integer is that integer
//! type. `SUM`
//! of DECIMAL(p, s) is DECIMAL(38, s) and `AVG` of it DECIMAL(38, max(s, 6)), as in Flink. FLOAT is summed as DOUBLE.

use aqueduct_plan::AggregateFunction;
use arrow::datatypes::DataType;
use datafusion::common::{Result, not_impl_err, plan_err};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use std::sync::Arc;

/// One of the five.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct WindowAggregateUdf {
    pub(crate) function: AggregateFunction,
    signature: Signature,
}

pub(crate) fn functions() -> Vec<Arc<AggregateUDF>> {
    use AggregateFunction::{Avg, Count, Max, Min, Sum};
    [Count, Sum, Min, Max, Avg]
        .into_iter()
        .map(|function| {
            let signature = Signature::user_defined(Volatility::Immutable);
            Arc::new(AggregateUDF::from(WindowAggregateUdf { function, signature }))
        })
        .collect()
}

/// Its name in SQL.
pub(crate) fn sql_name(function: AggregateFunction) -> &'static str {
    match function {
        AggregateFunction::Count => "COUNT",
        AggregateFunction::Sum => "SUM",
        AggregateFunction::Min => "MIN",
        AggregateFunction::Max => "MAX",
        AggregateFunction::Avg => "AVG",
    }
}

/// The type as which values reach the accumulator, if they can.
pub(crate) fn accumulated(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => DataType::Int64,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => DataType::Int64,
        DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Decimal128(p, s) => DataType::Decimal128(*p, *s),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::Timestamp(unit, zone) => DataType::Timestamp(*unit, zone.clone()),
        DataType::Date32 => DataType::Date32,
        DataType::Boolean => DataType::Boolean,
        _ => return None,
    })
}

impl WindowAggregateUdf {
    fn type_of(&self, argument: &DataType) -> Result<DataType> {
        let name = sql_name(self.function);
        let shown = crate::ddl::sql_name(argument);
        match (self.function, argument) {
            (AggregateFunction::Count, _) => Ok(DataType::Int64),
            (AggregateFunction::Min | AggregateFunction::Max, kept) if accumulated(kept).is_some() => Ok(kept.clone()),
            (AggregateFunction::Sum, DataType::Decimal128(_, s)) => Ok(DataType::Decimal128(38, *s)),
            (AggregateFunction::Avg, DataType::Decimal128(_, s)) => Ok(DataType::Decimal128(38, (*s).max(6))),
            (AggregateFunction::Sum, number) if number.is_integer() => Ok(DataType::Int64),
            (AggregateFunction::Avg, number) if number.is_integer() => Ok(number.clone()),
            (AggregateFunction::Sum | AggregateFunction::Avg, number) if number.is_floating() => Ok(DataType::Float64),
            (AggregateFunction::Sum | AggregateFunction::Avg, _) => {
                plan_err!("{name} takes numbers, not {shown}; CAST the argument to BIGINT, DECIMAL(p, s) or DOUBLE")
            }
            _ => plan_err!("{name} does not take {shown}; CAST the argument to STRING, a number or a TIMESTAMP"),
        }
    }
}

impl AggregateUDFImpl for WindowAggregateUdf {
    fn name(&self) -> &str {
        match self.function {
            AggregateFunction::Count => "count",
            AggregateFunction::Sum => "sum",
            AggregateFunction::Min => "min",
            AggregateFunction::Max => "max",
            AggregateFunction::Avg => "avg",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        match arguments {
            [argument] => {
                self.type_of(argument)?;
                Ok(vec![argument.clone()])
            }
            _ => plan_err!("{} takes one argument, here are {}", sql_name(self.function), arguments.len()),
        }
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [argument] => self.type_of(argument),
            _ => plan_err!("{} takes one argument, here are {}", sql_name(self.function), arguments.len()),
        }
    }

    fn is_nullable(&self) -> bool {
        self.function != AggregateFunction::Count
    }

    fn accumulator(&self, _arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        not_impl_err!("the engine's own window operator accumulates {}", sql_name(self.function))
    }
}
