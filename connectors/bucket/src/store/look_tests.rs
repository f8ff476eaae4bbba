//! Looks at local folders and at a store without conditions.

use super::*;
use aqueduct_core::ErrorKind;
use object_store::memory::InMemory;

async fn at(path: &std::path::Path) -> Result<Vec<String>> {
    look(&path.display().to_string(), &StoreOptions::default(), Needs::CreateAndDelete).await
}

#[tokio::test]
async fn a_folder_is_looked_at_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("not/yet/there");
    assert_eq!(at(&missing).await.unwrap(), Vec::<String>::new());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made");
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let error = at(&file.join("below")).await.unwrap_err();
    assert_eq!((error.kind(), error.hurdle()), (ErrorKind::FixConfig, Some(Hurdle::Permit)), "{error}");
    assert!(error.message().contains("check the path"), "{error}");
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_refused_and_cleaned() {
    // The store in memory honours conditions: it is the one that may be used.
    let (store, path, mut unknown) = (InMemory::new(), Path::from("a/aqueduct-check"), Vec::new());
    ask_to_create(&store, &path, "memory", &mut unknown).await.unwrap();
    assert!(unknown.is_empty() && store.head(&path).await.is_err());
    let careless = Careless(store);
    let error = ask_to_create(&careless, &path, "memory", &mut unknown).await.unwrap_err();
    assert_eq!((error.kind(), error.hurdle()), (ErrorKind::FixConfig, Some(Hurdle::Fit)), "{error}");
    assert!(careless.0.head(&path).await.is_err(), "what was written is taken away again");
}

/// Writes whatever the condition says.
#[derive(Debug)]
struct Careless(InMemory);

impl std::fmt::Display for Careless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("careless")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Careless {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        _: object_store::PutOptions,
    ) -> object_store::Result<object_store::PutResult> {
        self.0.put_opts(path, payload, object_store::PutOptions::default()).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: object_store::PutMultipartOptions,
    ) -> object_store::Result<Box<dyn object_store::MultipartUpload>> {
        self.0.put_multipart_opts(path, options).await
    }

    async fn get_opts(
        &self,
        path: &Path,
        options: object_store::GetOptions,
    ) -> object_store::Result<object_store::GetResult> {
        self.0.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: futures::stream::BoxStream<'static, object_store::Result<Path>>,
    ) -> futures::stream::BoxStream<'static, object_store::Result<Path>> {
        self.0.delete_stream(paths)
    }

    fn list(
        &self,
        prefix: Option<&Path>,
    ) -> futures::stream::BoxStream<'static, object_store::Result<object_store::ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<object_store::ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: object_store::CopyOptions) -> object_store::Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}
