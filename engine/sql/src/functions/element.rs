//! `array[n]`: the n-th element, counted from 1; null outside of the array, as in Flink.

use arrow::array::{Array, ArrayRef, AsArray, UInt64Array};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::sync::{Arc, LazyLock};

#[derive(Debug, PartialEq, Eq, Hash)]
struct Element {
    signature: Signature,
}

/// The function behind `array[n]`.
pub(crate) fn element() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        Arc::new(ScalarUDF::from(Element { signature: Signature::user_defined(Volatility::Immutable) }))
    });
    Arc::clone(&FUNCTION)
}

impl ScalarUDFImpl for Element {
    fn name(&self) -> &'static str {
        "aqueduct_element"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        match arguments {
            [list @ DataType::List(_), index] if index.is_integer() => Ok(vec![list.clone(), DataType::Int64]),
            _ => plan_err!("a[n] needs an ARRAY and an integer, or a MAP and a key"),
        }
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments.first() {
            Some(DataType::List(element)) => Ok(element.data_type().clone()),
            _ => plan_err!("a[n] needs an ARRAY"),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let [list, index] = arrays.as_slice() else { return exec_err!("a[n] takes two arguments") };
        Ok(ColumnarValue::Array(pick(list, index)?))
    }
}

fn pick(list: &ArrayRef, index: &ArrayRef) -> Result<ArrayRef> {
    let list = list.as_list::<i32>();
    let index = index.as_primitive::<Int64Type>();
    let wanted: UInt64Array = (0..list.len())
        .map(|row| {
            if list.is_null(row) || index.is_null(row) {
                return None;
            }
            let (start, end) = (i64::from(list.value_offsets()[row]), i64::from(list.value_offsets()[row + 1]));
            let at = start.checked_add(index.value(row))?.checked_sub(1)?;
            (index.value(row) >= 1 && at < end).then(|| u64::try_from(at).ok()).flatten()
        })
        .collect();
    Ok(arrow::compute::take(list.values(), &wanted, None)?)
}
