//! The store against a real RocksDB in a temporary folder.

use super::*;
use crate::pages::Place;
use aqueduct_core::ErrorKind;
use std::collections::{BTreeMap, BTreeSet};
use tempfile::TempDir;

type Panes = BTreeMap<PaneKey, Vec<u8>>;

fn pane(query: u64, slice: i64, key: &str) -> PaneKey {
    PaneKey { query, slice_start: slice, min_end: slice + 60, worker: 0, key: key.as_bytes().to_vec() }
}

fn slice(query: u64, slice: i64) -> SliceKey {
    SliceKey { query, slice_start: slice, min_end: slice + 60 }
}

/// Tells every pane.
fn each(store: &StateStore, tell: &mut dyn FnMut(PaneKey, &[u8])) -> Result<()> {
    for (slice, worker) in store.parts()? {
        let SliceKey { query, slice_start, min_end } = slice;
        store.page(&mut Place::first(slice, worker), usize::MAX, &mut |key, value| {
            tell(PaneKey { query, slice_start, min_end, worker, key: key.to_vec() }, value);
            Ok(())
        })?;
    }
    Ok(())
}

/// Values are joined.
fn joined() -> Merge {
    Arc::new(|_, values| Some(values.flat_map(<[u8]>::to_vec).collect()))
}

fn create(dir: &Path) -> Result<StateStore> {
    StateStore::create(dir, joined())
}

fn restore_dir(dir: &Path) -> Result<StateStore> {
    StateStore::restore_dir(dir, joined())
}

fn puts(panes: &[(PaneKey, &str)]) -> PaneBatch {
    let puts = panes.iter().map(|(key, value)| (key.clone(), value.as_bytes().to_vec())).collect();
    PaneBatch { puts, ..PaneBatch::default() }
}

fn all(store: &StateStore) -> Panes {
    let mut found = Vec::new();
    each(store, &mut |key, value| found.push((key, value.to_vec()))).unwrap();
    let sorted: Panes = found.iter().cloned().collect();
    let in_order: Vec<_> = sorted.keys().map(PaneKey::encode).collect();
    let mut by_bytes = in_order.clone();
    by_bytes.sort();
    assert_eq!(
        found.iter().map(|(key, _)| key.encode()).collect::<Vec<_>>(),
        by_bytes,
        "panes come in the order of their keys"
    );
    sorted
}

fn carry(files: &[StateFile], to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in files {
        std::fs::copy(&file.path, to.join(&file.name)).unwrap();
    }
}

/// Incompressible, so that files are as large as they look.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..bytes).map(|_| next()).collect()
}

#[test]
fn what_is_written_comes_back_from_a_snapshot() {
    let dir = TempDir::new().unwrap();
    let mut store = create(&dir.path().join("db")).unwrap();
    assert!(all(&store).is_empty());
    store.write(puts(&[(pane(1, 0, "b"), "2"), (pane(1, 0, "a"), "1"), (pane(2, -60, "a"), "3")])).unwrap();
    store.write(puts(&[(pane(1, 0, "a"), "1 again")])).unwrap();
    let other = (PaneKey { worker: 4, ..pane(1, 0, "b") }, "2");
    store.write(puts(&[other])).unwrap();
    store.write(PaneBatch { delete_parts: vec![(slice(1, 0), 4)], ..PaneBatch::default() }).unwrap();
    let left = [(pane(1, 0, "a"), "1 again"), (pane(1, 0, "b"), "2"), (pane(2, -60, "a"), "3")];
    let expected: Panes = left.into_iter().map(|(key, value)| (key, value.as_bytes().to_vec())).collect();
    assert_eq!(all(&store), expected);

    let files = store.snapshot(&dir.path().join("snap")).unwrap();
    assert!(files.iter().any(|file| file.immutable) && files.iter().any(|file| !file.immutable));
    // What comes later is not in the snapshot.
    store.write(puts(&[(pane(9, 0, "later"), "x")])).unwrap();
    carry(&files, &dir.path().join("restored"));
    let restored = restore_dir(&dir.path().join("restored")).unwrap();
    assert_eq!(all(&restored), expected);

    let named: Vec<_> = files.iter().map(|file| (file.name.clone(), file.path.clone())).collect();
    let linked = StateStore::restore(&dir.path().join("linked"), &named, joined()).unwrap();
    assert_eq!(all(&linked), expected);
}

#[test]
fn an_empty_store_can_be_carried_too() {
    let dir = TempDir::new().unwrap();
    let files = create(&dir.path().join("db")).unwrap().snapshot(&dir.path().join("a/b/snap")).unwrap();
    carry(&files, &dir.path().join("restored"));
    assert!(all(&restore_dir(&dir.path().join("restored")).unwrap()).is_empty());
}

#[test]
fn a_retired_slice_goes_whole_and_nothing_else_goes() {
    let dir = TempDir::new().unwrap();
    let mut store = create(&dir.path().join("db")).unwrap();
    for query in [1, 2] {
        for start in [-60, 0, 60] {
            for key in ["", "a", "zzz"] {
                let workers = (0..3).map(|worker| (PaneKey { worker, ..pane(query, start, key) }, b"v".to_vec()));
                store.write(PaneBatch { puts: workers.collect(), ..PaneBatch::default() }).unwrap();
            }
        }
    }
    store.snapshot(&dir.path().join("first")).unwrap();
    let survivor = (pane(1, 0, "new"), b"of the same batch".to_vec());
    store
        .write(PaneBatch {
            delete_slices: vec![slice(1, 0), slice(2, 60)],
            delete_parts: vec![],
            puts: [survivor.clone()].into_iter().collect(),
        })
        .unwrap();
    let left = all(&store);
    assert_eq!(left.len(), 2 * 3 * 3 * 3 - 2 * 9 + 1);
    assert_eq!(left.get(&survivor.0), Some(&survivor.1));
    assert!(left.keys().all(|key| key.slice() != slice(2, 60)));
    let files = store.snapshot(&dir.path().join("second")).unwrap();
    carry(&files, &dir.path().join("restored"));
    assert_eq!(all(&restore_dir(&dir.path().join("restored")).unwrap()), left);
}

#[test]
fn snapshots_share_unchanged_files() {
    let dir = TempDir::new().unwrap();
    let mut store = create(&dir.path().join("db")).unwrap();
    let large = (0..100_u64).map(|n| (pane(1, 0, &n.to_string()), noise(n + 1, 2000))).collect();
    store.write(PaneBatch { puts: large, ..PaneBatch::default() }).unwrap();
    let first = store.snapshot(&dir.path().join("1")).unwrap();
    store.write(puts(&[(pane(2, 0, "small"), "change")])).unwrap();
    let second = store.snapshot(&dir.path().join("2")).unwrap();

    let shared: Vec<&StateFile> = first.iter().filter(|file| file.immutable).collect();
    assert_eq!(shared.len(), 1);
    let again = second.iter().find(|file| file.name == shared[0].name).unwrap();
    assert_eq!(again.identity, shared[0].identity);
    let new: u64 = second.iter().filter(|file| file.identity != shared[0].identity).map(|file| file.bytes).sum();
    assert!(new < 10_000 && shared[0].bytes > 150_000, "{new} new bytes beside {}", shared[0].bytes);
    // The folder is used again for the next snapshot, and foreign folders are left alone.
    store.snapshot(&dir.path().join("1")).unwrap();
    std::fs::create_dir(dir.path().join("foreign")).unwrap();
    std::fs::write(dir.path().join("foreign/file"), "x").unwrap();
    assert_eq!(store.snapshot(&dir.path().join("foreign")).unwrap_err().kind(), ErrorKind::Bug);
}

#[test]
fn a_restored_store_goes_on() {
    let dir = TempDir::new().unwrap();
    let mut expected = Panes::new();
    let mut store = create(&dir.path().join("0")).unwrap();
    for life in 1..6 {
        for round in 0..5_u8 {
            let key = pane(1, 0, &format!("{life}-{round}"));
            store
                .write(PaneBatch { puts: [(key.clone(), [round])].into_iter().collect(), ..PaneBatch::default() })
                .unwrap();
            expected.insert(key, vec![round]);
            store.snapshot(&dir.path().join(format!("snap-{life}"))).unwrap();
        }
        let files = store.snapshot(&dir.path().join(format!("snap-{life}"))).unwrap();
        carry(&files, &dir.path().join(life.to_string()));
        store = restore_dir(&dir.path().join(life.to_string())).unwrap();
        assert_eq!(all(&store), expected);
    }
}

#[test]
fn damage_is_data_to_fix_and_names_the_folder() {
    let dir = TempDir::new().unwrap();
    let mut store = create(&dir.path().join("db")).unwrap();
    let large = (0..100_u64).map(|n| (pane(1, 0, &n.to_string()), noise(n + 1, 2000))).collect();
    store.write(PaneBatch { puts: large, ..PaneBatch::default() }).unwrap();
    let files = store.snapshot(&dir.path().join("snap")).unwrap();
    let sst = files.iter().find(|file| file.immutable).unwrap();

    let flipped = dir.path().join("flipped");
    carry(&files, &flipped);
    let mut bytes = std::fs::read(&sst.path).unwrap();
    bytes[sst.bytes as usize / 2] ^= 1;
    std::fs::write(flipped.join(&sst.name), bytes).unwrap();
    let seen = restore_dir(&flipped).and_then(|store| each(&store, &mut |_, _| ()));
    let error = seen.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixData, "{error}");
    assert!(error.message().contains("flipped"), "{error}");

    for (name, spoil) in [("missing", 0), ("cut", sst.bytes / 2)] {
        let spoilt = dir.path().join(name);
        carry(&files, &spoilt);
        let path = spoilt.join(&sst.name);
        if spoil == 0 {
            std::fs::remove_file(&path).unwrap();
        } else {
            std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(spoil).unwrap();
        }
        let error = restore_dir(&spoilt).and_then(|store| each(&store, &mut |_, _| ())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FixData, "{name}: {error}");
        assert!(error.message().contains(name), "{error}");
    }
    let nothing = restore_dir(&dir.path().join("nothing")).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::FixData, "{nothing}");
}

#[test]
fn create_begins_empty_and_names_stay_in_the_folder() {
    let dir = TempDir::new().unwrap();
    let db = dir.path().join("db");
    let mut store = create(&db).unwrap();
    store.write(puts(&[(pane(1, 0, "a"), "1")])).unwrap();
    store.snapshot(&dir.path().join("snap")).unwrap();
    drop(store);
    assert!(all(&create(&db).unwrap()).is_empty());
    for bad in ["../evil", "a/b", "", ".", ".."] {
        let files = [(bad.to_owned(), dir.path().join("snap/CURRENT"))];
        let error = StateStore::restore(&dir.path().join("x"), &files, joined()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FixData, "{bad}");
    }
}

#[test]
fn memory_stays_bounded_under_much_state() {
    let dir = TempDir::new().unwrap();
    let mut store = create(&dir.path().join("db")).unwrap();
    let value = noise(7, 100);
    for batch in 0..40_u64 {
        let panes = (0..20_000_u64).map(|n| (pane(1, 0, &format!("{:016x}", (n * 40 + batch))), value.clone()));
        store.write(PaneBatch { puts: panes.collect(), ..PaneBatch::default() }).unwrap();
        let memory = store.memory_bytes();
        assert!(memory < 48 << 20, "{memory} bytes after batch {batch}");
    }
    let mut panes = 0_u64;
    each(&store, &mut |_, _| panes += 1).unwrap();
    assert_eq!(panes, 800_000);
    assert!(store.disk_bytes() > 0);
}

/// A slice whose panes two workers hold, each every `n`-th of a hundred keys.
fn shared_slice(store: &mut StateStore) {
    let mut puts = PanePuts::default();
    for key in 0..100_u8 {
        for (worker, nth) in [(0, 2), (3, 3)] {
            if key % nth == 0 {
                puts.push(&slice(1, 0), worker, &[key], &[worker as u8]);
            }
        }
    }
    puts.push(&slice(1, 60), 0, b"other", b"left alone");
    store.write(PaneBatch { puts, ..PaneBatch::default() }).unwrap();
}

#[test]
fn values_are_added_to_what_is_there() {
    let dir = TempDir::new().unwrap();
    let mut store = create(&dir.path().join("db")).unwrap();
    let write = |store: &mut StateStore, key: &[u8], value: &[u8], added: bool| {
        let mut puts = PanePuts::default();
        if added {
            puts.add(&slice(1, 0), 0, key, value)
        } else {
            puts.push(&slice(1, 0), 0, key, value)
        }
        store.write(PaneBatch { puts, ..PaneBatch::default() }).unwrap();
    };
    write(&mut store, b"a", b"1", false);
    write(&mut store, b"a", b"2", true);
    let files = store.snapshot(&dir.path().join("snap")).unwrap();
    write(&mut store, b"a", b"3", true);
    write(&mut store, b"b", b"4", true);
    store.settle().unwrap();
    let values = |store: &StateStore| all(store).into_values().map(|value| String::from_utf8(value).unwrap()).collect();
    let found: Vec<String> = values(&store);
    assert_eq!(found, ["123", "4"]);
    carry(&files, &dir.path().join("restored"));
    let found: Vec<String> = values(&restore_dir(&dir.path().join("restored")).unwrap());
    assert_eq!(found, ["12"]);
}

#[test]
fn a_slice_is_taken_out_some_keys_at_a_time() {
    for limit in [1, 7, 33, 67, 1000] {
        let dir = TempDir::new().unwrap();
        let mut store = create(&dir.path().join("db")).unwrap();
        shared_slice(&mut store);
        let (mut taken, mut rounds): (Vec<(Vec<u8>, u8)>, usize) = (Vec::new(), 0);
        loop {
            let before = taken.len();
            let left = store.take(slice(1, 0), limit, &mut |key, value| {
                taken.push((key.to_vec(), value[0]));
                Ok(())
            });
            rounds += 1;
            let keys: BTreeSet<&Vec<u8>> = taken[before..].iter().map(|(key, _)| key).collect();
            assert!(keys.len() <= limit, "{} keys at once", keys.len());
            // What was taken is gone, also for whoever restores what is there now.
            let files = store.snapshot(&dir.path().join("snap")).unwrap();
            let restored = dir.path().join(format!("restored-{rounds}"));
            carry(&files, &restored);
            assert_eq!(all(&restore_dir(&restored).unwrap()).len(), 50 + 34 + 1 - taken.len());
            if !left.unwrap() {
                break;
            }
        }
        assert_eq!(rounds, 67_usize.div_ceil(limit), "100 keys, of which 33 nobody holds");
        let neighbours = taken.windows(2).filter(|pair| pair[0].0 == pair[1].0).count();
        assert_eq!(neighbours, 17, "both workers' panes of a key come together");
        taken.sort();
        let mut expected: Vec<(Vec<u8>, u8)> = (0..100).filter(|key| key % 2 == 0).map(|key| (vec![key], 0)).collect();
        expected.extend((0..100).filter(|key| key % 3 == 0).map(|key| (vec![key], 3)));
        expected.sort();
        assert_eq!(taken, expected);
        assert!(!store.take(slice(1, 0), limit, &mut |_, _| panic!("nothing is left")).unwrap());
    }
}
