//! What `check --connect` found, as a table for people or as JSON, and the exit code that it comes to. It opens nothing.

use crate::cli::StatusFormat;
use crate::connect::Found;
use crate::human::{Align, duration_ms, table};
use crate::{exit, secrets};
use aqueduct_core::{Error, ErrorKind, Hurdle, JobName, Result};
use serde_json::json;
use std::time::Duration;

/// One connection, looked at.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) role: &'static str,
    pub(crate) name: String,
    pub(crate) connector: String,
    pub(crate) address: String,
    /// The whole look.
    pub(crate) took: Duration,
    pub(crate) result: Result<Found>,
}

impl Outcome {
    /// Reached, authenticated, permitted; `None` where it did not come so far, or nobody knows.
    fn passed(&self) -> [Option<bool>; 3] {
        let Err(error) = &self.result else { return [Some(true); 3] };
        let hurdle = error.hurdle().or((error.kind() == ErrorKind::Retry).then_some(Hurdle::Reach));
        match hurdle {
            Some(Hurdle::Reach) => [Some(false), None, None],
            Some(Hurdle::Authenticate) => [Some(true), Some(false), None],
            Some(Hurdle::Permit) => [Some(true), Some(true), Some(false)],
            Some(Hurdle::Fit) => [Some(true); 3],
            None => [None; 3],
        }
    }

    /// Until it had answered; `None` where it did not.
    fn latency_ms(&self) -> Option<u64> {
        let latency = match &self.result {
            Ok(found) => found.latency.unwrap_or(self.took),
            Err(_) if self.passed()[0] == Some(true) => self.took,
            Err(_) => return None,
        };
        Some(u64::try_from(latency.as_millis()).unwrap_or(u64::MAX))
    }

    fn unknown(&self) -> &[String] {
        self.result.as_ref().map_or(&[], |found| &found.unknown)
    }
}

/// All of it.
pub(crate) fn text(job: &JobName, outcomes: &[Outcome], format: StatusFormat) -> Result<String> {
    let text = match format {
        StatusFormat::Table => for_people(job, outcomes),
        StatusFormat::Json => for_machines(job, outcomes)?,
    };
    Ok(secrets::hide(&text))
}

fn for_people(job: &JobName, outcomes: &[Outcome]) -> String {
    let word = |passed: Option<bool>| match passed {
        Some(true) => "yes",
        Some(false) => "no",
        None => "-",
    };
    let rows: Vec<Vec<String>> = outcomes
        .iter()
        .map(|one| {
            let verdict = if one.result.is_ok() { "ok" } else { "BROKEN" };
            let latency = one.latency_ms().map_or_else(|| "-".to_owned(), duration_ms);
            let mut row: Vec<String> =
                [verdict, one.role, &one.name, &one.connector, &one.address].map(str::to_owned).into();
            row.extend(one.passed().map(|passed| word(passed).to_owned()));
            row.push(latency);
            row
        })
        .collect();
    let head = ["", "", "name", "connector", "address", "reached", "authenticated", "permitted"]
        .map(|name| (name, Align::Left));
    let head: Vec<(&str, Align)> = head.into_iter().chain([("latency", Align::Right)]).collect();
    let broken: Vec<(&Outcome, &Error)> =
        outcomes.iter().filter_map(|one| Some((one, one.result.as_ref().err()?))).collect();
    let sum = match broken.len() {
        0 => "all can be used".to_owned(),
        count => format!("{count} cannot be used"),
    };
    let mut out = format!("job {job}: {} connections, {sum}\n\n{}", outcomes.len(), table(&head, &rows));
    for (one, error) in &broken {
        out.push_str(&format!(
            "\n  {} is broken (exit code {}): {}\n",
            one.name,
            exit::code(error.kind()),
            error.message()
        ));
    }
    if outcomes.iter().any(|one| !one.unknown().is_empty()) {
        out.push_str("\n  not known without writing:\n");
        for one in outcomes {
            one.unknown().iter().for_each(|what| out.push_str(&format!("    {}: {what}\n", one.name)));
        }
    }
    out
}

fn for_machines(job: &JobName, outcomes: &[Outcome]) -> Result<String> {
    let value = |one: &Outcome| {
        let [reached, authenticated, permitted] = one.passed();
        let error = one.result.as_ref().err().map(|error| {
            json!({
                "kind": format!("{:?}", error.kind()),
                "exit_code": exit::code(error.kind()),
                "message": error.message(),
                "next": exit::advice(error.kind()),
            })
        });
        json!({
            "role": one.role,
            "name": one.name,
            "connector": one.connector,
            "address": one.address,
            "ok": one.result.is_ok(),
            "reached": reached,
            "authenticated": authenticated,
            "permitted": permitted,
            "latency_ms": one.latency_ms(),
            "not_known": one.unknown(),
            "error": error,
        })
    };
    let all = json!({
        "job": job.as_str(),
        "ok": outcomes.iter().all(|one| one.result.is_ok()),
        "connections": outcomes.iter().map(value).collect::<Vec<_>>(),
    });
    let text = serde_json::to_string_pretty(&all);
    text.map(|text| text + "\n").map_err(|error| Error::bug(format!("the connections are no JSON: {error}")))
}

/// The error that the whole comes to: of the worst kind.
pub(crate) fn verdict(job: &JobName, outcomes: &[Outcome]) -> Result<()> {
    let broken: Vec<(&str, ErrorKind)> =
        outcomes.iter().filter_map(|one| Some((one.name.as_str(), one.result.as_ref().err()?.kind()))).collect();
    let Some(worst) = broken.iter().map(|(_, kind)| *kind).max_by_key(|kind| rank(*kind)) else { return Ok(()) };
    let names: Vec<&str> = broken.iter().map(|(name, _)| *name).collect();
    Err(Error::new(
        worst,
        format!(
            "{} of {} connections of job '{job}' cannot be used: {}",
            broken.len(),
            outcomes.len(),
            names.join(", ")
        ),
    ))
}

/// What waiting heals is the least.
fn rank(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Retry => 0,
        ErrorKind::Fenced => 1,
        ErrorKind::FixData => 2,
        ErrorKind::FixConfig => 3,
        ErrorKind::Bug => 4,
    }
}

#[cfg(test)]
#[path = "connect_out_tests.rs"]
mod tests;
