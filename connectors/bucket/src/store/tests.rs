//! URLs, local folders, and what errors of stores become.

use super::*;
use aqueduct_core::ErrorKind;
use futures::TryStreamExt;
use object_store::{ObjectStoreExt, PutMode};
use std::error::Error as StdError;
use std::io::ErrorKind as IoKind;
use std::time::Instant;

fn parsed(url: &str) -> (System, String, String) {
    let Location { system, bucket, path } = Location::parse(url).unwrap();
    (system, bucket, path)
}

#[test]
fn urls_are_taken_apart() {
    let text = |system, bucket: &str, path: &str| (system, bucket.to_owned(), path.to_owned());
    assert_eq!(parsed("gs://my-bucket/a/b/"), text(System::Gcs, "my-bucket", "a/b"));
    assert_eq!(parsed("gs://my-bucket"), text(System::Gcs, "my-bucket", ""));
    assert_eq!(parsed("s3://b/x"), text(System::S3, "b", "x"));
    assert_eq!(parsed("S3A://b/x"), text(System::S3, "b", "x"));
    assert_eq!(parsed("file:///data/x"), text(System::Local, "", "/data/x"));
    assert_eq!(parsed("file://localhost/data"), text(System::Local, "", "/data"));
    assert_eq!(parsed("file:/data"), text(System::Local, "", "/data"));
    assert_eq!(parsed("target/out"), text(System::Local, "", "target/out"));
    for (url, part) in [
        ("", "empty"),
        ("hdfs://name/x", "hdfs"),
        ("gs:///x", "names no bucket"),
        ("file://data/x", "three slashes"),
        ("s3://b/a//c", "not usable as a path"),
    ] {
        let error = Location::parse(url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FixConfig, "{url}");
        assert!(error.message().contains(part), "{url}: {error}");
    }
}

#[tokio::test]
async fn local_folders_are_created_and_files_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("not/there");
    let text = path.to_str().unwrap();
    let error = open_store(text, &StoreOptions { create_folder: false, ..StoreOptions::default() }).unwrap_err();
    assert!(error.kind() == ErrorKind::FixConfig && error.message().contains("not/there"), "{error}");
    let (store, root) = open_store(&format!("file://{text}"), &StoreOptions::default()).unwrap();
    assert!(root.is_root());
    store.put(&Path::from("a/b.json"), "x".into()).await.unwrap();
    assert_eq!(std::fs::read(path.join("a/b.json")).unwrap(), b"x");
    let (store, file) = open_store(path.join("a/b.json").to_str().unwrap(), &StoreOptions::default()).unwrap();
    assert_eq!(file.as_ref(), "b.json");
    assert_eq!(store.head(&file).await.unwrap().size, 1);
}

#[test]
fn a_folder_that_cannot_be_made_is_a_matter_of_configuration() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let error = open_store(folder.path().join("file/below").to_str().unwrap(), &StoreOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixConfig, "{error}");
}

#[tokio::test]
async fn durable_folders_behave_like_plain_ones() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { fsync: true, ..StoreOptions::default() };
    let (store, _) = open_store(folder.path().to_str().unwrap(), &options).unwrap();
    let path = Path::from("log/00001");
    store.put_opts(&path, "one".into(), PutMode::Create.into()).await.unwrap();
    let taken = store.put_opts(&path, "two".into(), PutMode::Create.into()).await.unwrap_err();
    assert!(matches!(taken, object_store::Error::AlreadyExists { .. }), "{taken}");
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "one");
    store.put(&path, "three".into()).await.unwrap();
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "three");
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    assert_eq!(listed.len(), 1, "hidden files are gone: {listed:?}");
    assert_eq!(std::fs::read_dir(folder.path().join("log")).unwrap().count(), 1);
    store.delete(&path).await.unwrap();
    assert!(store.head(&path).await.is_err());
    // Many at once create one object: exactly one wins.
    let path = Path::from("log/race");
    let race: Vec<_> = (0..32)
        .map(|n| {
            let (store, path) = (store.clone(), path.clone());
            async move { store.put_opts(&path, format!("{n}").into(), PutMode::Create.into()).await }
        })
        .collect();
    let won = futures::future::join_all(race).await.into_iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(won, 1);
}

#[test]
fn errors_say_what_to_do() {
    use object_store::Error as E;
    let source = || -> Box<dyn StdError + Send + Sync> { "the cause".into() };
    let path = || "x".to_owned();
    let io = |kind: IoKind| E::Generic { store: "LocalFileSystem", source: Box::new(std::io::Error::from(kind)) };
    let status = |status: &str| E::Generic {
        store: "S3",
        source: format!("Server returned non-2xx status code: {status}: <Error/>").into(),
    };
    for (error, kind) in [
        (E::NotFound { path: path(), source: source() }, ErrorKind::FixConfig),
        (E::PermissionDenied { path: path(), source: source() }, ErrorKind::FixConfig),
        (E::Unauthenticated { path: path(), source: source() }, ErrorKind::FixConfig),
        (E::AlreadyExists { path: path(), source: source() }, ErrorKind::Retry),
        (E::Generic { store: "GCS", source: source() }, ErrorKind::Retry),
        (io(IoKind::PermissionDenied), ErrorKind::FixConfig),
        (io(IoKind::StorageFull), ErrorKind::Retry),
        (status("400 Bad Request"), ErrorKind::FixConfig),
        (status("404 Not Found"), ErrorKind::FixConfig),
        (status("400 Bad Request: RequestTimeout"), ErrorKind::Retry),
        (status("429 Too Many Requests"), ErrorKind::Retry),
        (status("503 Service Unavailable"), ErrorKind::Retry),
    ] {
        let shown = format!("{error:?}");
        let made = store_error(error, "writing gs://bucket/results/x");
        assert_eq!(made.kind(), kind, "{shown}");
        assert!(made.message().contains("gs://bucket/results/x"), "{made}");
    }
}

#[test]
fn a_servers_words_are_shown_without_their_markup() {
    let text = "Server returned non-2xx status code: 404 Not Found: <?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code>\
                <Message>The specified bucket does not exist.</Message></Error>";
    let error = object_store::Error::Generic { store: "GCS", source: text.into() };
    let made = store_error(error, "listing gs://b/x");
    let expected = "listing gs://b/x: not found (Server returned non-2xx status code: 404 Not Found: NoSuchBucket: The specified \
                    bucket does not exist.): check that the bucket exists";
    assert!(made.message().starts_with(expected), "{made}");
}

#[tokio::test]
async fn a_down_store_is_reported_in_time() {
    // A port that nobody listens on: bound, and closed again.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let options = StoreOptions {
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        retry_timeout: Duration::from_millis(300),
        ..StoreOptions::default()
    };
    let begin = Instant::now();
    let (store, path) = open_store("gs://my-bucket/results", &options).unwrap();
    assert_eq!(path.as_ref(), "results");
    let error = store.get(&path.join("x")).await.unwrap_err();
    let error = store_error(error, "reading gs://my-bucket/results/x");
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}
