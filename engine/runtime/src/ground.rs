//! What a job goes on from: the newest checkpoint, taken and restored, or an older one where that is damaged and the settings
//! say so.

use crate::config::{Environment, FromSavepoint, OnDamage, Settings};
use crate::epochs::Totals;
use crate::fits::{Found, check_fits, check_identity, fired};
use crate::fork;
use crate::restore::{self, Restored, Wish};
use crate::stored::Stored;
use aqueduct_checkpoint::{CommitBody, Cut, IdSource, Owner, Place, ShardLog, Taken, Taking, peek};
use aqueduct_core::{Error, ErrorKind, Line, Result, ShardId, Sink};
use aqueduct_plan::JobPlan;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

/// The only shard so far.
pub const SHARD: ShardId = ShardId(0);

/// What a start needs of its environment besides sources and sinks, which belong to one thread.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) place: Place,
    /// The same as the user wrote it.
    pub(crate) url: String,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) savepoint: Option<FromSavepoint>,
    state_dir: PathBuf,
    owner: Option<Owner>,
}

impl Site {
    pub(crate) fn of(environment: &Environment) -> Self {
        let store = environment.checkpoint_store.clone();
        let (root, host) = (environment.checkpoint_root.clone(), environment.host.clone());
        Self {
            place: Place { store, root, host, points: environment.fail_points.clone() },
            url: environment.checkpoint_url.clone(),
            ids: environment.ids.clone(),
            savepoint: environment.savepoint.clone(),
            state_dir: environment.state_dir.clone(),
            owner: environment.owner.clone(),
        }
    }
}

/// Whether the newest checkpoint fits, before anything is claimed: a job that will be refused pushes no healthy owner aside.
pub(crate) async fn look(plan: &JobPlan, settings: &Settings, site: &Site, found: &[Found]) -> Result<()> {
    let head = match peek(&site.place, &settings.job, SHARD).await {
        Err(error) if error.kind() == ErrorKind::FixData && settings.on_damage == OnDamage::FallBack => return Ok(()),
        head => head.map_err(|error| error.context(format!("checkpoints in {}", site.url)))?,
    };
    head.as_ref().map_or(Ok(()), |head| check_fits(plan, head))?;
    check_identity(plan, found, head.as_ref(), settings.other_input).map(|_| ())
}

/// The shard, and its state.
pub(crate) struct Ground {
    pub(crate) log: ShardLog,
    pub(crate) head: Option<CommitBody>,
    /// The ancestors, for the sinks.
    pub(crate) line: Line,
    /// Epochs that are to be cut again as they were.
    pub(crate) repeats: VecDeque<Cut>,
    pub(crate) totals: Totals,
    pub(crate) fired_up_to: Vec<i64>,
    pub(crate) stored: Stored,
    pub(crate) restored: Restored,
}

/// Takes the shard and restores its newest checkpoint; where that is damaged, goes back if the settings say so.
pub(crate) async fn ground(
    plan: &JobPlan,
    settings: &Settings,
    site: &Site,
    sinks: &mut [Box<dyn Sink>],
) -> Result<Ground> {
    let mut gone_back = false;
    loop {
        let taken = claim(settings, site).await?;
        let lineage = taken.log.claimed().lineage;
        match restore_from(plan, settings, site, sinks, taken).await {
            Err(error)
                if error.kind() == ErrorKind::FixData && settings.on_damage == OnDamage::FallBack && !gone_back =>
            {
                gone_back = true;
                fork::go_back(plan, settings, site, sinks, lineage, error.message()).await?;
            }
            Err(error) if error.kind() == ErrorKind::FixData && settings.on_damage == OnDamage::Refuse => {
                return Err(Error::data(format!(
                    "{error}. Or start with -D execution.checkpointing.on-damage=fall-back to go back to the newest whole checkpoint; \
                     `aqueduct state verify` says which that is"
                )));
            }
            outcome => return outcome,
        }
    }
}

async fn claim(settings: &Settings, site: &Site) -> Result<Taken> {
    site.place.points.hit("runtime.start.before-claim");
    let past_damage = settings.on_damage == OnDamage::FallBack;
    let taking = Taking { owner: site.owner.clone(), past_damage, ..Taking::default() };
    let taken = ShardLog::take(&site.place, &settings.job, SHARD, site.ids.clone(), &taking).await;
    site.place.points.hit("runtime.start.after-claim");
    taken.map_err(|error| error.context(format!("checkpoints in {}", site.url)))
}

/// Every error of kind `FixData` here is damage.
async fn restore_from(
    plan: &JobPlan,
    settings: &Settings,
    site: &Site,
    sinks: &mut [Box<dyn Sink>],
    taken: Taken,
) -> Result<Ground> {
    let Taken { log, head, origin, damage } = taken;
    let (line, mut repeats) = origin.map_or_else(Default::default, |origin| (origin.line, origin.repeats));
    let newest = log.head();
    repeats.retain(|cut| cut.epoch > newest);
    head.as_ref().map_or(Ok(()), |head| check_fits(plan, head))?;
    if !damage.is_empty() {
        return Err(Error::data(damage.join("; ")));
    }
    if settings.on_damage == OnDamage::FallBack {
        let damage = fork::damage(plan, settings, site, sinks, log.claimed().lineage, &repeats).await?;
        if !damage.is_empty() {
            return Err(Error::data(damage.join("; ")));
        }
    }
    let totals = head.as_ref().map(Totals::of).transpose()?.unwrap_or_default();
    let fired_up_to = fired(plan, head.as_ref());
    let stored = Stored::of(plan, &totals.spilled, &fired_up_to, settings.max_fired_keys);
    let wish = Wish {
        state_dir: &site.state_dir,
        threads: settings.parallelism,
        fired_up_to: &fired_up_to,
        stored: &stored,
        // Epochs that are cut again fire what they fired: they do not wait for state.
        max_bytes: if repeats.is_empty() { settings.max_restore_bytes } else { u64::MAX },
    };
    let restored = restore::panes(plan, &log, head.as_ref(), &wish, &site.place.points).await?;
    Ok(Ground { log, head, line, repeats: repeats.into(), totals, fired_up_to, stored, restored })
}
