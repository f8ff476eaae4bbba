//! The columns of a table as connectors see them.
//!
//! Computed columns do not appear here: the engine evaluates them.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;

/// Where the value of a column comes from, or goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnKind {
    /// A field of the record's value.
    Physical,
    /// Something that the connector knows beside the value: `partition`, `offset`, `timestamp`, `headers`, ...
    Metadata(String),
}

/// A column of a source or sink table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumn {
    /// The name, as written in the job.
    pub name: String,
    /// Arrow's type; `sql_type` is what the job says.
    pub data_type: DataType,
    /// `NOT NULL` in the job makes this false.
    pub nullable: bool,
    /// The type as written in the job, such as `TIMESTAMP_LTZ(3)`, for messages and for `CREATE TABLE`.
    pub sql_type: String,
    /// Field of the value, or metadata.
    pub kind: ColumnKind,
}

impl TableColumn {
    /// The Arrow schema of `columns`, in their order.
    pub fn schema(columns: &[TableColumn]) -> SchemaRef {
        let field = |column: &TableColumn| Field::new(&column.name, column.data_type.clone(), column.nullable);
        Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
    }
}
