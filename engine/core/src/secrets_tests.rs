//! Options whose secrets come from a store that changes.

use super::*;
use crate::Options;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Store {
    values: Mutex<BTreeMap<String, String>>,
    reads: AtomicU32,
}

impl Store {
    fn set(&self, reference: &str, value: &str) {
        self.values.lock().unwrap().insert(reference.to_owned(), value.to_owned());
    }
}

impl Secrets for Store {
    fn read(&self, reference: &str, _: bool) -> Result<String> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let found = self.values.lock().unwrap().get(reference).cloned();
        found.ok_or_else(|| Error::config(format!("there is no '{reference}'")))
    }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn options_are_read_at_first_and_again_when_asked() {
    let store = Arc::new(Store::default());
    store.set("file:/run/pw", "one");
    store.set("secret:aws:kafka#password", "alpha");
    let values = map(&[("url", "x"), ("password", "one"), ("jaas", "password=\"${secret:aws:kafka#password}\";")]);
    let written = map(&[("password", "${file:/run/pw}"), ("jaas", "password=\"${secret:aws:kafka#password}\";")]);
    let mut options = Options::new("t", values).with_references(written);
    options.attach(store.clone());
    assert!(options.has_secrets());
    let resolved = options.resolved().unwrap();
    assert_eq!((resolved.get("password"), resolved.get("jaas")), (Some("one"), Some("password=\"alpha\";")));
    assert_eq!(store.reads.load(Ordering::Relaxed), 1, "what the planner has read is not read again");
    assert!(resolved.renewed().unwrap().is_none(), "nothing has changed");
    store.set("file:/run/pw", "two");
    let renewed = resolved.renewed().unwrap().unwrap();
    assert_eq!((renewed.get("password"), renewed.get("url")), (Some("two"), Some("x")));
    assert!(renewed.renewed().unwrap().is_none());
    assert!(!format!("{renewed:?}").contains("two"));
}

#[test]
fn a_secret_that_cannot_be_read_is_named_with_its_option() {
    let mut options = Options::new("t", map(&[("password", "${secret:aws:x}")]))
        .with_references(map(&[("password", "${secret:aws:x}")]));
    options.attach(Arc::new(Store::default()));
    let error = options.resolved().unwrap_err();
    assert_eq!(error.message(), "table 't', option 'password': there is no 'secret:aws:x'");
    assert!(!Options::new("t", map(&[("a", "${file:literal")])).has_secrets());
}
