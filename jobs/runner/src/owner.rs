//! Who runs a job: what a process writes into its claim, and whether the one that is written there still lives.
//!
//! It is a courtesy before irreversible acts; what keeps two owners apart is the claim log and the sinks' fences.

use crate::status_cmd;
use aqueduct_checkpoint::{Kept, Owner};
use aqueduct_runtime::{JobState, StatusSnapshot};

/// An owner of whom nothing else is known is taken for alive so long after its last record, in milliseconds.
const SILENT_MS: i64 = 120_000;

/// This process.
pub(crate) fn this(http: Option<String>) -> Owner {
    Owner { host: host(), pid: std::process::id(), http }
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unknown".to_owned() } else { name.to_owned() }
}

/// As people read it.
pub(crate) fn text(owner: &Owner) -> String {
    let http = owner.http.as_ref().map(|at| format!(", http://{at}")).unwrap_or_default();
    format!("{} pid {}{http}", owner.host, owner.pid)
}

/// Why the newest owner of `kept` seems to be alive; `None` when it does not.
pub(crate) async fn alive(kept: &Kept, now_ms: i64) -> Option<String> {
    let owner = kept.owner.as_ref()?;
    if let Some(at) = &owner.http
        && let Ok((200, body)) = status_cmd::fetch(at, "/status").await
        && let Ok(status) = serde_json::from_str::<StatusSnapshot>(&body)
    {
        let ended = matches!(status.state, JobState::Finished | JobState::Stopped | JobState::Failed);
        if !ended && status.generation == kept.generation.0 && status.lineage == kept.lineage.0 {
            return Some(format!("it answers at http://{at}"));
        }
    }
    if owner.host == host() {
        return runs(owner.pid).then(|| format!("process {} runs on this machine", owner.pid));
    }
    let silent = now_ms - kept.written_at_ms;
    (silent < SILENT_MS).then(|| format!("it wrote {} s ago, on {}", silent / 1_000, owner.host))
}

/// A process of this program; a dead one that nobody has waited for does not run.
fn runs(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_ascii_whitespace().next());
    let ours = std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "aqueduct");
    ours && !matches!(state, Some("Z" | "X"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aqueduct_core::{Generation, Lineage};

    fn kept(owner: Option<Owner>) -> Kept {
        Kept {
            lineage: Lineage(1),
            origin: None,
            commits: Vec::new(),
            damaged: Vec::new(),
            generation: Generation(1),
            owner,
            written_at_ms: 1_000,
        }
    }

    #[tokio::test]
    async fn the_dead_are_told_from_the_living() {
        // Process 0 is nobody's; this test is a process of another program.
        let here = |pid| Some(Owner { host: host(), pid, http: None });
        assert_eq!(alive(&kept(here(0)), 2_000).await, None);
        assert_eq!(alive(&kept(here(std::process::id())), 2_000).await, None);
        assert_eq!(alive(&kept(None), 2_000).await, None);
        let elsewhere = || Some(Owner { host: "elsewhere".to_owned(), pid: 1, http: None });
        assert!(alive(&kept(elsewhere()), 2_000).await.unwrap().contains("elsewhere"));
        assert_eq!(alive(&kept(elsewhere()), 2_000 + SILENT_MS).await, None);
    }
}
