//! Two clients of a table while its password changes.

use super::*;
use aqueduct_core::{Result, Secrets};
use std::collections::BTreeMap;

struct Word(Mutex<String>);

impl Secrets for Word {
    fn read(&self, _: &str, _: bool) -> Result<String> {
        Ok(self.0.lock().unwrap().clone())
    }
}

fn options(password: &str, written: Option<&str>) -> Options {
    let pair = |value: &str| BTreeMap::from([("properties.sasl.password".to_owned(), value.to_owned())]);
    let mut values = pair(password);
    values.insert("properties.sasl.username".to_owned(), "ann".to_owned());
    Options::new("t", values).with_references(written.map(pair).unwrap_or_default())
}

#[test]
fn every_client_gets_the_new_password_and_the_store_is_asked_once() {
    let word = Arc::new(Word(Mutex::new("new".to_owned())));
    let mut options = options("old", Some("${file:pw}"));
    options.attach(word.clone());
    let old = Pair::of(&options).unwrap();
    let login = Login::new(old.clone(), &options);
    let new = login.other_than(&old).unwrap();
    assert_eq!(new.password, "new");
    assert_eq!(login.current(), new);
    *word.0.lock().unwrap() = "newer".to_owned();
    assert_eq!(login.other_than(&old), Some(new.clone()), "the other client is told what this one has found");
    assert_eq!(login.other_than(&new), None, "the store is not asked again at once");
    assert!(!format!("{login:?}{new:?}").contains("new\""), "{login:?}");
}

#[test]
fn a_password_that_is_written_down_is_not_read_again() {
    let options = options("old", None);
    let old = Pair::of(&options).unwrap();
    assert_eq!(Login::new(old.clone(), &options).other_than(&old), None);
}

#[test]
fn java_options_name_them_too() {
    let jaas = "ScramLoginModule required username=\"ann\" password=\"p\";";
    let options = Options::new("t", BTreeMap::from([("properties.sasl.jaas.config".to_owned(), jaas.to_owned())]));
    assert_eq!(Pair::of(&options).unwrap(), Pair { username: "ann".into(), password: "p".into() });
    assert_eq!(Pair::of(&Options::new("t", BTreeMap::new())), Err("username"));
}
