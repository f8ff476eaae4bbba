//! Holds `server.rs` to what it says; the statements run in the tests with a real server.

use super::*;

fn change(epoch: Option<i64>, only: &[Only]) -> Change {
    Change { lineage: 1, epoch, generation: 3, only: only.to_vec() }
}

#[test]
fn conditions_become_part_of_the_statement() {
    let row = "WHERE job = $1 AND lineage = $2 AND shard = $3 AND sink = $4";
    assert_eq!(
        update_statement("c", &change(Some(7), &[Only::At(6), Only::UpTo(3)])),
        format!(
            "UPDATE c SET generation = $5, epoch = $6, updated_at = now() {row} AND epoch = $7 AND generation <= $8"
        )
    );
    assert_eq!(
        update_statement("c", &change(None, &[])),
        format!("UPDATE c SET generation = $5, updated_at = now() {row}")
    );
    assert_eq!(
        update_statement("c", &change(None, &[Only::UpTo(3)])),
        format!("UPDATE c SET generation = $5, updated_at = now() {row} AND generation <= $6")
    );
}
