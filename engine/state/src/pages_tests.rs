//! Pages of a store whose files another store goes on from.

use super::*;
use crate::puts::PanePuts;
use crate::store::{Merge, PaneBatch};
use std::sync::Arc;
use tempfile::TempDir;

/// Values are joined.
fn joined() -> Merge {
    Arc::new(|_, values| Some(values.flat_map(<[u8]>::to_vec).collect()))
}

fn slice(start: i64) -> SliceKey {
    SliceKey { query: 7, slice_start: start, min_end: start + 60 }
}

/// Ten keys of each of two threads in one slice, one in another.
fn filled() -> PanePuts {
    let mut puts = PanePuts::default();
    for worker in [0, 3] {
        for key in 0..10_u8 {
            puts.push(&slice(0), worker, &[key], &[key, worker as u8]);
        }
    }
    puts.push(&slice(60), 3, b"other", b"o");
    puts
}

type Panes = Vec<(Vec<u8>, Vec<u8>)>;

/// Keys and values of a part, read so many at a time, and in how many pages.
fn read(store: &StateStore, worker: u16, limit: usize) -> (Panes, usize) {
    let (mut found, mut pages, mut more) = (Vec::new(), 0, true);
    let mut place = Place::first(slice(0), worker);
    while more {
        pages += 1;
        let visit = &mut |key: &[u8], value: &[u8]| {
            found.push((key.to_vec(), value.to_vec()));
            Ok(())
        };
        more = store.page(&mut place, limit, visit).unwrap();
    }
    found.sort();
    (found, pages)
}

#[test]
fn parts_are_told_and_read_in_pages() {
    let dir = TempDir::new().unwrap();
    let mut store = StateStore::create(&dir.path().join("db"), joined()).unwrap();
    assert_eq!(store.parts().unwrap(), []);
    store.write(PaneBatch { puts: filled(), ..PaneBatch::default() }).unwrap();
    assert_eq!(store.parts().unwrap(), [(slice(0), 0), (slice(0), 3), (slice(60), 3)]);
    assert_eq!(store.workers(&slice(0)).unwrap(), [0, 3]);
    let expected: Vec<_> = (0..10_u8).map(|key| (vec![key], vec![key, 3])).collect();
    for (limit, pages) in [(1, 10), (3, 4), (10, 1), (1_000, 1)] {
        assert_eq!(read(&store, 3, limit), (expected.clone(), pages), "{limit} at a time");
    }
    assert_eq!(read(&store, 9, 5), (Vec::new(), 1), "nobody's part");
    let failing = &mut |_: &[u8], _: &[u8]| Err(aqueduct_core::Error::data("enough"));
    assert_eq!(store.page(&mut Place::first(slice(0), 0), 5, failing).unwrap_err().message(), "enough");
}

#[test]
fn a_twin_stays_as_it_was() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let mut first = StateStore::create(&at("first"), joined()).unwrap();
    first.write(PaneBatch { puts: filled(), ..PaneBatch::default() }).unwrap();
    first.snapshot(&at("db")).unwrap();
    drop(first);
    twin(&at("db"), &at("twin")).unwrap();
    let files = |name: &str| {
        let mut files: Vec<_> = std::fs::read_dir(at(name)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        files.sort();
        files
    };
    let before = files("twin");
    let mut store = StateStore::restore_dir(&at("db"), joined()).unwrap();
    let twin = StateStore::read_dir(&at("twin"), joined()).unwrap();
    // The store goes on: it adds to what is there, deletes, compacts.
    let mut more = PanePuts::default();
    (0..10_u8).for_each(|key| more.add(&slice(0), 3, &[key], b"more"));
    store.write(PaneBatch { puts: more, delete_slices: vec![slice(60)], ..PaneBatch::default() }).unwrap();
    store.let_compact().unwrap();
    store.settle().unwrap();
    let of = |end: &[u8]| (0..10_u8).map(|key| (vec![key], [&[key, 3], end].concat())).collect::<Vec<_>>();
    assert_eq!(read(&twin, 3, 4).0, of(b""));
    assert_eq!(read(&store, 3, 4).0, of(b"more"));
    assert_eq!((twin.parts().unwrap().len(), store.parts().unwrap().len()), (3, 2));
    drop(twin);
    assert_eq!(files("twin"), before, "who only reads leaves the files alone");
}
