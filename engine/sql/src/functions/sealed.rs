//! `CURRENT_TIMESTAMP` and its relatives: a place holder for the wall time at which results are sealed.
//!
//! It is never evaluated: lowering replaces it by the column that the runtime fills, or refuses it.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::{Arc, LazyLock};

#[derive(Debug, PartialEq, Eq, Hash)]
struct SealedAt {
    signature: Signature,
}

impl ScalarUDFImpl for SealedAt {
    fn name(&self) -> &'static str {
        "current_timestamp"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())))
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("CURRENT_TIMESTAMP was not replaced by the time of the seal")
    }
}

/// The place holder.
pub(crate) fn sealed_at() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        // Volatile, so that nothing folds it into a constant.
        Arc::new(ScalarUDF::from(SealedAt { signature: Signature::nullary(Volatility::Volatile) }))
    });
    Arc::clone(&FUNCTION)
}

/// True for a call of the place holder.
pub(crate) fn is_sealed_at(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.func.inner().is::<SealedAt>())
}
