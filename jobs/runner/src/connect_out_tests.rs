//! The table and the exit code, from outcomes that are made up.

use super::*;

fn outcome(name: &str, result: Result<Found>) -> Outcome {
    let (role, connector, address) = ("sink", "postgres".to_owned(), "me@10.0.0.3:5432/analytics".to_owned());
    Outcome { role, name: name.to_owned(), connector, address, took: Duration::from_millis(12), result }
}

fn made_up() -> Vec<Outcome> {
    let unknown = vec!["the right to fly".to_owned()];
    vec![
        outcome("fine", Ok(Found { latency: Some(Duration::from_millis(7)), unknown })),
        outcome("away", Err(Error::retry("nobody is there: check the address").at(Hurdle::Reach))),
        outcome("shut", Err(Error::config("wrong password: check 'password'").at(Hurdle::Authenticate))),
        outcome("closed", Err(Error::config("no rights; run: GRANT").at(Hurdle::Permit))),
        outcome("other", Err(Error::data("another column").at(Hurdle::Fit))),
        outcome("unclear", Err(Error::config("a file is missing"))),
    ]
}

#[test]
fn the_table_names_what_is_broken_and_how_far_it_came() {
    let job = JobName::new("j").unwrap();
    let text = text(&job, &made_up(), StatusFormat::Table).unwrap();
    let row = |name: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.split_whitespace().nth(2) == Some(name)).unwrap();
        let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        words.drain(1..5);
        words
    };
    assert_eq!(row("fine"), ["ok", "yes", "yes", "yes", "7", "ms"]);
    assert_eq!(row("away"), ["BROKEN", "no", "-", "-", "-"]);
    assert_eq!(row("shut"), ["BROKEN", "yes", "no", "-", "12", "ms"]);
    assert_eq!(row("closed"), ["BROKEN", "yes", "yes", "no", "12", "ms"]);
    assert_eq!(row("other"), ["BROKEN", "yes", "yes", "yes", "12", "ms"]);
    assert_eq!(row("unclear"), ["BROKEN", "-", "-", "-", "-"]);
    assert!(text.contains("6 connections, 5 cannot be used"), "{text}");
    assert!(text.contains("  shut is broken (exit code 2): wrong password: check 'password'\n"), "{text}");
    assert!(text.contains("  away is broken (exit code 4): nobody is there"), "{text}");
    assert!(text.contains("    fine: the right to fly\n"), "{text}");
}

#[test]
fn the_exit_code_is_the_worst() {
    let job = JobName::new("j").unwrap();
    let mut all = made_up();
    let error = verdict(&job, &all).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixConfig);
    assert!(error.message().contains("away, shut, closed, other, unclear"), "{error}");
    all.truncate(2);
    assert_eq!(verdict(&job, &all).unwrap_err().kind(), ErrorKind::Retry);
    all.truncate(1);
    assert!(verdict(&job, &all).is_ok());
}

#[test]
fn machines_get_every_field() {
    let text = text(&JobName::new("j").unwrap(), &made_up(), StatusFormat::Json).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["ok"], false);
    let shut = &value["connections"][2];
    assert_eq!(
        (&shut["reached"], &shut["authenticated"], &shut["permitted"]),
        (&json!(true), &json!(false), &json!(null))
    );
    assert_eq!(shut["error"]["exit_code"], 2);
    assert_eq!(value["connections"][0]["not_known"][0], "the right to fly");
}
