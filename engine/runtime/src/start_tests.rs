//! Holds the opening of sinks to what it says: who may take a disputed sink back.

use super::*;
use aqueduct_checkpoint::SystemIds;
use aqueduct_core::{CommitPermit, Epoch, ErrorKind, JobName, SealedEpoch, ShardId};
use object_store::memory::InMemory;
use object_store::path::Path;

/// A sink that another process comes for while it is opened, so many times.
struct Disputed(usize);

#[async_trait::async_trait]
impl Sink for Disputed {
    async fn open(&mut self, _claimed: &Claimed) -> Result<Cursor> {
        if self.0 == 0 {
            return Ok(Cursor(Epoch(7)));
        }
        self.0 -= 1;
        Err(Error::disputed("somebody else came between"))
    }

    async fn apply(&mut self, _permit: CommitPermit, _epoch: &SealedEpoch) -> Result<Cursor> {
        unreachable!("nothing is delivered here")
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

async fn own(store: &Arc<InMemory>) -> ShardLog {
    let job = JobName::new("twins").unwrap();
    let (log, _) =
        ShardLog::own(store.clone(), &Path::from("checkpoints"), &job, ShardId(0), Arc::new(SystemIds)).await.unwrap();
    log
}

#[tokio::test]
async fn an_owner_takes_a_disputed_sink_back_and_an_older_process_leaves_it() {
    let store = Arc::new(InMemory::new());
    let old = own(&store).await;
    let cursor = open_as_owner(&mut Disputed(DISPUTES - 1), old.claimed(), &old.reader()).await;
    assert_eq!(cursor.unwrap(), Cursor(Epoch(7)));
    let endless = open_as_owner(&mut Disputed(usize::MAX), old.claimed(), &old.reader()).await.unwrap_err();
    assert_eq!(endless.kind(), ErrorKind::Retry, "{endless}");

    let _new = own(&store).await;
    let mut sink = Disputed(3);
    let fenced = open_as_owner(&mut sink, old.claimed(), &old.reader()).await.unwrap_err();
    assert_eq!(fenced.kind(), ErrorKind::Fenced, "{fenced}");
    assert_eq!(sink.0, 2, "it was opened once, and left to the new owner");
}
