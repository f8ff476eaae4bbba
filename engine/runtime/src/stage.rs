//! Evaluating filters and projections on whole batches.
//!
//! DataFusion supplies the expressions; its operators are not used, because they hold rows back on unbounded input.

use aqueduct_core::{Error, ErrorKind, Result};
use aqueduct_plan::Stage;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use datafusion::common::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;

/// The value of `expr` for every row of `batch`. A value that cannot be computed is [`ErrorKind::FixData`].
pub(crate) fn evaluate(expr: &dyn PhysicalExpr, batch: &RecordBatch) -> Result<ArrayRef> {
    let value = expr.evaluate(batch).map_err(failed)?;
    value.into_array(batch.num_rows()).map_err(failed)
}

fn failed(error: DataFusionError) -> Error {
    let kind = match error.find_root() {
        DataFusionError::ArrowError(..) | DataFusionError::Execution(_) | DataFusionError::External(_) => {
            ErrorKind::FixData
        }
        _ => ErrorKind::Bug,
    };
    let text = error.find_root().to_string();
    Error::new(kind, text.strip_prefix("Arrow error: ").unwrap_or(&text).to_owned()).with_source(error)
}

/// Which rows of `batch` the stage keeps; `None` keeps all.
pub(crate) fn kept(stage: &Stage, batch: &RecordBatch) -> Result<Option<BooleanArray>> {
    let Some(filter) = &stage.filter else { return Ok(None) };
    let mask = evaluate(filter.as_ref(), batch)?;
    let mask = mask.as_boolean();
    // Null is not true: such rows go, as in SQL.
    Ok(Some(if mask.null_count() > 0 { arrow::compute::prep_null_mask_filter(mask) } else { mask.clone() }))
}

/// The projection of the stage over rows that were kept.
pub(crate) fn project(stage: &Stage, batch: RecordBatch) -> Result<RecordBatch> {
    let Some(project) = &stage.project else {
        // Names and nullability may differ from the input's.
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        return Ok(RecordBatch::try_new_with_options(stage.schema.clone(), batch.columns().to_vec(), &options)?);
    };
    let columns = project.iter().map(|expr| evaluate(expr.as_ref(), &batch)).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(stage.schema.clone(), columns, &options)?)
}

/// Filter and projection together.
pub(crate) fn apply(stage: &Stage, batch: RecordBatch) -> Result<RecordBatch> {
    let batch = match kept(stage, &batch)? {
        Some(mask) => arrow::compute::filter_record_batch(&batch, &mask)?,
        None => batch,
    };
    project(stage, batch)
}
