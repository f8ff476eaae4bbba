//! A store that believes some tokens, and a source that has several.

use super::super::store_error;
use super::*;
use aqueduct_core::{ErrorKind, Hurdle};
use object_store::{ObjectStoreExt, RetryConfig, path::Path};
use std::sync::atomic::{AtomicU32, Ordering};

/// Gives out `t1`, and the next one when asked anew.
#[derive(Debug, Default)]
struct Counting(AtomicU32);

#[async_trait]
impl Source for Counting {
    async fn token(&self, anew: bool) -> Result<String, Failed> {
        let number = if anew { self.0.fetch_add(1, Ordering::Relaxed) + 1 } else { self.0.load(Ordering::Relaxed) };
        Ok(format!("t{}", number + 1))
    }
}

/// Nobody gives out tokens here.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Source for Nobody {
    async fn token(&self, _: bool) -> Result<String, Failed> {
        Err("there is no service account".into())
    }
}

/// Answers 200 to one token and 401 to all others; counts requests.
#[derive(Debug, Clone)]
struct Believing(&'static str, Arc<AtomicU32>);

impl HttpConnector for Believing {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Believing {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let given = request.headers().get("authorization").unwrap().to_str().unwrap().to_owned();
        let mut response = HttpResponse::new(String::new().into());
        if given != format!("Bearer {}", self.0) {
            *response.status_mut() = 401.try_into().unwrap();
        }
        response.headers_mut().insert("etag", "e".parse().unwrap());
        Ok(response)
    }
}

async fn put(source: Arc<dyn Source>, believed: &'static str) -> (object_store::Result<()>, u32) {
    let seen = Arc::new(AtomicU32::new(0));
    let builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name("b")
        .with_retry(RetryConfig { max_retries: 0, ..Default::default() });
    let store = with_source(builder, source, Believing(believed, Arc::clone(&seen))).build().unwrap();
    let put = store.put(&Path::from("x"), "y".into()).await.map(drop);
    (put, seen.load(Ordering::Relaxed))
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let (put, requests) = self::put(Arc::new(Counting::default()), "t1").await;
    assert!(put.is_ok() && requests == 1, "{put:?} {requests}");
    let (put, requests) = self::put(Arc::new(Counting::default()), "t2").await;
    assert!(put.is_ok() && requests == 2, "{put:?} {requests}");
    let (put, requests) = self::put(Arc::new(Counting::default()), "t3").await;
    let error = store_error(put.unwrap_err(), "writing gs://b/x");
    assert_eq!(
        (requests, error.kind(), error.hurdle()),
        (2, ErrorKind::FixConfig, Some(Hurdle::Authenticate)),
        "{error}"
    );
    assert!(error.message().contains("the credentials are missing or were refused"), "{error}");
}

#[tokio::test]
async fn a_machine_without_an_identity_says_so() {
    let (put, requests) = self::put(Arc::new(Nobody), "t1").await;
    let error = store_error(put.unwrap_err(), "writing gs://b/x");
    assert_eq!((requests, error.hurdle()), (0, Some(Hurdle::Authenticate)), "{error}");
    assert!(
        error.message().contains("there is no service account")
            && error.message().contains("GOOGLE_APPLICATION_CREDENTIALS"),
        "{error}"
    );
}
