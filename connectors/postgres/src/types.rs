//! Which Arrow type goes into which Postgres type, and how.
//!
//! Nothing is narrowed: a type that could lose a value is refused before the job starts.

use arrow::datatypes::DataType;

/// How the values of a column are sent: the element type of the array parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Bool,
    Text,
    /// As text, which Postgres reads exactly; the driver has no numeric type of its own here.
    Decimal,
    /// With or without time zone.
    Timestamp {
        zoned: bool,
    },
    Date,
    Time,
    Bytes,
    /// ROW, ARRAY and MAP as JSON text.
    Json,
}

impl Wire {
    /// How a column of this Arrow type is sent; `None` if it cannot be.
    pub(crate) fn of(data_type: &DataType) -> Option<Wire> {
        Some(match data_type {
            DataType::Int8 | DataType::Int16 => Wire::Int2,
            DataType::Int32 => Wire::Int4,
            DataType::Int64 => Wire::Int8,
            DataType::Float32 => Wire::Float4,
            DataType::Float64 => Wire::Float8,
            DataType::Boolean => Wire::Bool,
            DataType::Utf8 => Wire::Text,
            DataType::Decimal128(_, _) => Wire::Decimal,
            DataType::Timestamp(_, zone) => Wire::Timestamp { zoned: zone.is_some() },
            DataType::Date32 => Wire::Date,
            DataType::Time32(_) => Wire::Time,
            DataType::Binary => Wire::Bytes,
            DataType::Struct(_) | DataType::List(_) | DataType::Map(_, _) => Wire::Json,
            _ => return None,
        })
    }

    /// The SQL type of the array parameter.
    pub(crate) fn parameter(self) -> &'static str {
        match self {
            Wire::Int2 => "int2[]",
            Wire::Int4 => "int4[]",
            Wire::Int8 => "int8[]",
            Wire::Float4 => "float4[]",
            Wire::Float8 => "float8[]",
            Wire::Bool => "bool[]",
            Wire::Text | Wire::Decimal | Wire::Json => "text[]",
            Wire::Timestamp { zoned: true } => "timestamptz[]",
            Wire::Timestamp { zoned: false } => "timestamp[]",
            Wire::Date => "date[]",
            Wire::Time => "time[]",
            Wire::Bytes => "bytea[]",
        }
    }

    /// The Postgres types that take every value, by their internal names; the first is what `CREATE TABLE` uses.
    pub(crate) fn targets(self) -> &'static [&'static str] {
        match self {
            Wire::Int2 => &["int2", "int4", "int8", "numeric"],
            Wire::Int4 => &["int4", "int8", "numeric"],
            Wire::Int8 => &["int8", "numeric"],
            Wire::Float4 => &["float4", "float8"],
            Wire::Float8 => &["float8"],
            Wire::Bool => &["bool"],
            Wire::Text => &["text", "varchar", "bpchar", "citext", "jsonb", "json", "uuid"],
            Wire::Decimal => &["numeric"],
            Wire::Timestamp { zoned: true } => &["timestamptz"],
            // A time without zone is taken as UTC.
            Wire::Timestamp { zoned: false } => &["timestamp", "timestamptz"],
            Wire::Date => &["date"],
            Wire::Time => &["time"],
            Wire::Bytes => &["bytea"],
            Wire::Json => &["jsonb", "json", "text"],
        }
    }

    /// Whether a column of the Postgres type `target` (internal name; `is_enum` for types made by `CREATE TYPE ... AS
    /// ENUM`) takes the values.
    pub(crate) fn fits(self, target: &str, is_enum: bool) -> bool {
        self.targets().contains(&target) || (is_enum && self == Wire::Text)
    }

    /// The value of `column` as it goes into a column of type `target`; `target_sql` is the type as SQL writes it.
    /// Only where assignment alone does not do it: an explicit cast to varchar(n) would cut texts in silence.
    pub(crate) fn value(self, column: &str, target: &str, target_sql: &str) -> String {
        match (self, target) {
            (Wire::Decimal, _) => format!("{column}::numeric"),
            (Wire::Timestamp { zoned: false }, "timestamptz") => format!("{column} AT TIME ZONE 'UTC'"),
            (Wire::Text | Wire::Json, "text" | "varchar" | "bpchar" | "citext") => column.to_owned(),
            (Wire::Text | Wire::Json, _) => format!("{column}::{target_sql}"),
            _ => column.to_owned(),
        }
    }
}

/// The type for `CREATE TABLE`.
pub(crate) fn ddl(data_type: &DataType) -> Option<String> {
    Some(match data_type {
        DataType::Decimal128(precision, scale) => format!("numeric({precision}, {scale})"),
        other => match Wire::of(other)? {
            Wire::Int2 => "smallint".into(),
            Wire::Int4 => "integer".into(),
            Wire::Int8 => "bigint".into(),
            Wire::Float4 => "real".into(),
            Wire::Float8 => "double precision".into(),
            Wire::Bool => "boolean".into(),
            wire => wire.targets()[0].into(),
        },
    })
}
