//! `aqueduct stop`: asks a running job to seal, deliver and end, waits for its end, and takes a savepoint if one is wished.

use crate::cli::StopArgs;
use crate::savepoint_cmd::{self, Told};
use crate::status_cmd::{self, host_and_port};
use crate::target::Target;
use crate::{exit, owner};
use aqueduct_checkpoint::kept;
use aqueduct_core::{Epoch, Error, ErrorKind, Result};
use aqueduct_runtime::{JobState, SHARD, StatusSnapshot};
use std::time::{Duration, Instant};

/// How often the job is looked at while it ends.
const LOOK: Duration = Duration::from_millis(100);

/// The verb.
pub(crate) async fn run(args: StopArgs) -> Result<()> {
    let target = args.job.as_ref().map(|job| Target::named(job, &args.values)).transpose()?;
    let at = match (&args.http, &target) {
        (Some(given), _) => host_and_port(given)?,
        (None, Some(target)) => address(target).await?,
        (None, None) => return Err(Error::config("name the job, or give --http")),
    };
    let first = status_cmd::status(&at).await?;
    if let Some(target) = target.as_ref().filter(|target| target.name.as_str() != first.job) {
        return Err(Error::config(format!("http://{at} runs job '{}', not '{}'", first.job, target.name)));
    }
    let path = if args.drain { "/stop?drain=true" } else { "/stop" };
    let (code, body) = status_cmd::post(&at, path).await?;
    if code != 202 {
        return Err(Error::retry(format!("http://{at}{path} answered {code}: {}", body.trim())));
    }
    let last = wait(&at, first, Duration::from_secs(args.timeout)).await?;
    exit::say(&format!("job {} has stopped at epoch {}\n", last.job, last.checkpoint.epoch));
    match target.filter(|_| args.savepoint) {
        None => Ok(()),
        Some(target) => {
            let told = Told::by(&last, Epoch(last.checkpoint.epoch));
            savepoint_cmd::take_and_say(&target, &args.place, told).await
        }
    }
}

/// Where the job's newest owner answers.
async fn address(target: &Target) -> Result<String> {
    let kept = kept(&target.place, &target.name, SHARD, None).await?.ok_or_else(|| target.nothing())?;
    let known = kept.owner.as_ref().map_or_else(|| "unknown".to_owned(), owner::text);
    kept.owner.and_then(|owner| owner.http).ok_or_else(|| {
        Error::config(format!(
            "the owner of job '{}' ({known}) was started without --http: send it SIGTERM, which does the same",
            target.name
        ))
    })
}

/// Looks until the job answers no more. Returns the last status that was seen.
async fn wait(at: &str, mut last: StatusSnapshot, patience: Duration) -> Result<StatusSnapshot> {
    let begun = Instant::now();
    let owner = (last.lineage, last.generation);
    loop {
        match status_cmd::status(at).await {
            // Another process may have taken the port.
            Ok(status) if (status.lineage, status.generation) != owner && status.generation > 0 => break,
            Ok(status) => last = status,
            Err(error) if error.kind() == ErrorKind::Retry => break,
            Err(error) => return Err(error),
        }
        if begun.elapsed() > patience {
            return Err(Error::retry(format!(
                "job '{}' at http://{at} has not ended within {} s (state {:?}, {} epochs to deliver); it goes on ending, look at \
                 `aqueduct status`",
                last.job,
                patience.as_secs(),
                last.state,
                last.sinks.iter().map(|sink| sink.backlog_epochs).max().unwrap_or(0)
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
    if last.state == JobState::Failed {
        let why = last.error.clone().unwrap_or_else(|| "unknown".to_owned());
        return Err(Error::data(format!("job '{}' ended with an error: {why}", last.job)));
    }
    Ok(last)
}
