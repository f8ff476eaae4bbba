//! Holds `statement.rs` to what it says.

use super::*;
use crate::types::Wire;

fn target(name: &str, wire: Wire, base: &str, base_sql: &str) -> Target {
    Target { name: name.into(), wire, base: base.into(), base_sql: base_sql.into() }
}

fn table() -> Table {
    Table { schema: "public".into(), name: "me\"trics".into(), columns: vec![], unique: vec![] }
}

#[test]
fn an_upsert_names_key_and_casts() {
    let targets = [
        target("window_start", Wire::Timestamp { zoned: true }, "timestamptz", "timestamp with time zone"),
        target("size_label", Wire::Text, "varchar", "character varying"),
        target("event_count", Wire::Int8, "int8", "bigint"),
        target("summary", Wire::Text, "jsonb", "jsonb"),
        target("price", Wire::Decimal, "numeric", "numeric"),
        target("local", Wire::Timestamp { zoned: false }, "timestamptz", "timestamp with time zone"),
    ];
    assert_eq!(
        insert(&table(), &targets, &[0, 1]),
        "INSERT INTO \"public\".\"me\"\"trics\" (\"window_start\", \"size_label\", \"event_count\", \"summary\", \"price\", \"local\") \
         SELECT u.c1, u.c2, u.c3, u.c4::jsonb, u.c5::numeric, u.c6 AT TIME ZONE 'UTC' \
         FROM UNNEST($1::timestamptz[], $2::text[], $3::int8[], $4::text[], $5::text[], $6::timestamp[]) AS u(c1, c2, c3, c4, c5, c6) \
         ON CONFLICT (\"window_start\", \"size_label\") DO UPDATE SET \"event_count\" = EXCLUDED.\"event_count\", \
         \"summary\" = EXCLUDED.\"summary\", \"price\" = EXCLUDED.\"price\", \"local\" = EXCLUDED.\"local\""
    );
}

#[test]
fn without_a_key_it_only_appends_and_a_key_alone_updates_nothing() {
    let targets = [target("id", Wire::Text, "text", "text")];
    let append = insert(&table(), &targets, &[]);
    assert!(!append.contains("CONFLICT"), "{append}");
    assert!(insert(&table(), &targets, &[0]).ends_with("ON CONFLICT (\"id\") DO NOTHING"));
}
