//! Arming fail points from the environment, and the list of all of them. For tests: a build without the cargo feature
//! `fail-points` has neither.
//!
//! It does not say where the points are: every crate registers its own.

#[cfg(feature = "fail-points")]
use crate::connectors;
use aqueduct_core::{FailPoints, Result};

/// Names a point to die at: `name`, `name@3` for the third time it is passed, `name@3=stop` to be stopped there (SIGSTOP)
/// instead of being killed (SIGKILL).
#[cfg(feature = "fail-points")]
const VARIABLE: &str = "AQUEDUCT_FAIL_POINT";

/// Every registered point, sorted.
#[cfg(feature = "fail-points")]
pub(crate) fn all() -> Vec<&'static str> {
    let known = connectors::all();
    let mut names: Vec<&'static str> =
        known.iter().flat_map(|connector| connector.fail_points().iter().copied()).collect();
    names.extend_from_slice(aqueduct_runtime::FAIL_POINTS);
    names.extend_from_slice(aqueduct_checkpoint::FAIL_POINTS);
    names.sort_unstable();
    names.dedup();
    names
}

/// The verb `fail-points`: one name a line.
#[cfg(feature = "fail-points")]
pub(crate) fn list() {
    for name in all() {
        println!("{name}");
    }
}

/// What the environment asks for.
///
/// # Errors
/// An unknown point or a malformed value, as configuration: a test that kills nowhere would pass for nothing.
#[cfg(not(feature = "fail-points"))]
pub(crate) fn armed() -> Result<FailPoints> {
    Ok(FailPoints::default())
}

#[cfg(feature = "fail-points")]
pub(crate) use armed::armed;

#[cfg(feature = "fail-points")]
mod armed {
    use super::{FailPoints, Result, VARIABLE, all};
    use aqueduct_core::Error;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// What happens there.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Act {
        Kill,
        Stop,
    }

    /// What the environment asks for.
    ///
    /// # Errors
    /// An unknown point or a malformed value, as configuration: a test that kills nowhere would pass for nothing.
    pub(crate) fn armed() -> Result<FailPoints> {
        match std::env::var(VARIABLE) {
            Ok(value) if !value.is_empty() => arm(&value),
            _ => Ok(FailPoints::default()),
        }
    }

    fn arm(value: &str) -> Result<FailPoints> {
        let (name, nth, act) = parse(value, &all())?;
        tracing::warn!(point = name, nth, "a fail point is armed: this process will {act:?} itself there");
        let passed = AtomicU64::new(0);
        Ok(FailPoints::new(move |point| {
            if point == name && passed.fetch_add(1, Ordering::SeqCst) + 1 == nth {
                send_to_self(act);
            }
        }))
    }

    fn parse(value: &str, known: &[&'static str]) -> Result<(&'static str, u64, Act)> {
        let wrong = |why: String| Error::config(format!("{VARIABLE}={value}: {why}; it is NAME[@NTH][=kill|stop]"));
        let (rest, act) = match value.split_once('=') {
            None => (value, Act::Kill),
            Some((rest, "kill")) => (rest, Act::Kill),
            Some((rest, "stop")) => (rest, Act::Stop),
            Some((_, other)) => return Err(wrong(format!("'{other}' is no act"))),
        };
        let (name, nth) = match rest.split_once('@') {
            None => (rest, 1),
            Some((name, nth)) => {
                let nth = nth.parse::<u64>().ok().filter(|nth| *nth > 0);
                (name, nth.ok_or_else(|| wrong("the count must be a number from 1".to_owned()))?)
            }
        };
        let found = known.iter().copied().find(|known| *known == name);
        Ok((found.ok_or_else(|| wrong(format!("no fail point is named '{name}'")))?, nth, act))
    }

    /// By the kill program and not by a library call: no crate of ours may use `unsafe` for a test's sake.
    fn send_to_self(act: Act) {
        let signal = if act == Act::Kill { "-KILL" } else { "-STOP" };
        let sent = std::process::Command::new("kill").arg(signal).arg(std::process::id().to_string()).status();
        if !sent.is_ok_and(|status| status.success()) {
            std::process::abort();
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_point_is_named_counted_and_given_an_act() {
            let known = ["room.part.moment"];
            assert_eq!(parse(known[0], &known).unwrap(), (known[0], 1, Act::Kill));
            assert_eq!(parse("room.part.moment@3=stop", &known).unwrap(), (known[0], 3, Act::Stop));
            for wrong in ["room.part.moment@0", "room.part.moment=x", "nowhere"] {
                assert!(parse(wrong, &known).unwrap_err().message().contains(VARIABLE));
            }
        }
    }
}
