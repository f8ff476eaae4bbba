//! Records survive the way to bytes and back, and every kind of damage is seen.

use super::*;
use serde_json::json;

fn body() -> CommitBody {
    let blob = |name: &str| BlobRef {
        name: name.to_owned(),
        sha256: "00ff".to_owned(),
        bytes: 3,
        object: "blobs/g2/00ff".to_owned(),
    };
    CommitBody {
        epoch: Epoch(5),
        sealed_at_ms: 1_767_225_600_250,
        splits: vec![SplitState {
            source: "images".to_owned(),
            split: SplitId::new("product-images.processed", 3),
            next: Offset(17),
            watermark: Watermark::Idle(EventTime::MIN),
        }],
        source_identity: BTreeMap::from([("images".to_owned(), SourceIdentity::default())]),
        queries: BTreeMap::from([(
            "q1".to_owned(),
            QueryState {
                name: "minutes".to_owned(),
                fingerprint: vec!["keys: size_label".to_owned()],
                fired_up_to: EventTime(60_000),
            },
        )]),
        ledger: json!({"read": 18, "late": 1}),
        state_files: vec![blob("000012.sst")],
        outbox: vec![OutboxSegment { sink: "pg".to_owned(), rows: 2, blob: blob("pg-0"), sequence: 0 }],
        finished: false,
    }
}

fn commit() -> Record {
    Record {
        slot: Slot(9),
        put_id: "ab".repeat(16),
        generation: Generation(2),
        lineage: Lineage(1),
        shard: ShardId(0),
        kind: Kind::Commit { body: Box::new(body()) },
    }
}

fn beginning(why: Why) -> Record {
    let origin = Origin {
        from_job: aqueduct_core::JobName::new("metrics").unwrap(),
        from_lineage: Lineage(1),
        from_epoch: Epoch(5),
        why,
        line: aqueduct_core::Line::default(),
        commits: vec![body()],
        repeats: vec![Cut::of(&body())],
    };
    Record { kind: Kind::Rewind { origin: Box::new(origin) }, ..commit() }
}

/// A program that knows only version 1 would take the beginning of a lineage for an empty one.
#[test]
fn only_a_beginning_needs_the_newer_version() {
    let header =
        |record: &Record| String::from_utf8(record.encode().unwrap()).unwrap().lines().next().unwrap().to_owned();
    assert!(header(&commit()).contains("\"format\":1"), "{}", header(&commit()));
    assert!(header(&beginning(Why::Rewind)).contains("\"format\":2"));
}

#[test]
fn every_kind_comes_back_as_it_was() {
    let owner = Owner { host: "h".to_owned(), pid: 7, http: Some("127.0.0.1:8080".to_owned()) };
    let kind = Kind::Claim { newest_commit: Some(Slot(4)), damaged: vec![Slot(5)], owner: Some(owner) };
    let claim = Record { kind, ..commit() };
    let first = Record { kind: Kind::Claim { newest_commit: None, damaged: Vec::new(), owner: None }, ..commit() };
    for record in [commit(), claim, first, beginning(Why::Rewind)] {
        assert_eq!(decode::<Record>(&record.encode().unwrap()).unwrap(), record);
    }
    for why in
        [Why::Damage { what: "a file".to_owned() }, Why::Savepoint { id: "x".to_owned(), url: "gs://b".to_owned() }]
    {
        let record = beginning(why);
        assert_eq!(decode::<Record>(&record.encode().unwrap()).unwrap(), record);
    }
    let boundary =
        Boundary { slot: Slot(3), put_id: "x".to_owned(), generation: Generation(1), claims: vec![Slot(0), Slot(2)] };
    assert_eq!(decode::<Boundary>(&encode(&boundary).unwrap()).unwrap(), boundary);
}

/// Format 1, byte for byte: a later program must go on reading it.
#[test]
fn format_one_is_golden() {
    let golden = include_str!("golden-v1.record");
    assert_eq!(String::from_utf8(encode(&commit()).unwrap()).unwrap(), golden);
    assert_eq!(decode::<Record>(golden.as_bytes()).unwrap(), commit());
}

#[test]
fn every_flipped_byte_and_every_cut_is_damage() {
    let bytes = encode(&commit()).unwrap();
    for at in 0..bytes.len() - 1 {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x04;
        let read = decode::<Record>(&flipped);
        assert!(read.is_err(), "byte {at} flipped and not seen");
        assert!(decode::<Record>(&bytes[..at]).is_err(), "cut at {at} and not seen");
    }
    assert!(matches!(decode::<Record>(b""), Err(Unreadable::Damaged(_))));
}

#[test]
fn a_newer_format_is_named_and_not_called_damage() {
    let newer = format!("\"format\":{}", FORMAT + 1);
    let text = String::from_utf8(encode(&commit()).unwrap()).unwrap().replacen("\"format\":1", &newer, 1);
    assert_eq!(decode::<Record>(text.as_bytes()), Err(Unreadable::TooNew { found: FORMAT + 1 }));
}

#[test]
fn a_body_names_all_its_blobs() {
    let body = body();
    let names: Vec<&str> = body.blobs().map(|blob| blob.name.as_str()).collect();
    assert_eq!(names, ["000012.sst", "pg-0"]);
}
