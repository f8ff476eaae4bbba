//! The ledger of a results path: claims that fence, and one entry per applied epoch, which makes its files count.
//!
//! The fence is a listing: an owner that sees the claim of a higher generation stops. Between that look and the last
//! write a stalled owner can still land what it had decided to write; this is harmless, because an epoch's contents are
//! fixed by the checkpoint that sealed it: the newer owner writes the same bytes under the same names, or finds them
//! there.

use crate::layout::{
    CLAIMS, CLOSED, LEDGER, LINE, claim, entry, label, parse_claim, parse_entry, parse_label, relative, under,
};
use crate::put::{Created, create, read};
use crate::store::store_error;
use aqueduct_core::{Claimed, Cursor, Epoch, Error, Generation, JobName, Line, Lineage, Result, ShardId, Standing};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::path::Path;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Ledger entries that are read at once.
const CONCURRENT_READS: usize = 64;

/// A file of an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LedgerFile {
    /// Below the table's path.
    pub(crate) path: String,
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    pub(crate) sha256: String,
}

/// The ledger of one owner.
pub(crate) struct Ledger {
    store: Arc<dyn ObjectStore>,
    /// `<path>/_committed`
    root: Path,
    folder: Path,
    claimed: Claimed,
    label: String,
    /// `<path>/_committed` as the user knows it.
    address: String,
}

impl Ledger {
    /// Takes the fence for the claim's generation and finds the cursor. `path` is the table's place in the store,
    /// `address` the same for people.
    pub(crate) async fn claim(
        store: Arc<dyn ObjectStore>,
        path: &Path,
        address: &str,
        table: &str,
        claimed: &Claimed,
        line: &Line,
    ) -> Result<(Self, Cursor)> {
        let label = label(claimed);
        let root = under(path, LEDGER)?;
        let folder = under(&root, &label)?;
        let address = format!("{address}/{LEDGER}");
        let ledger = Self { store, root, folder, claimed: claimed.clone(), label, address };
        let lineages = ledger.lineages().await?;
        if let Some(newer) = lineages.iter().find(|lineage| **lineage > claimed.lineage) {
            return Err(ledger.fenced(&format!("lineage {newer} of the job has begun")));
        }
        let claims = ledger.claims(&ledger.names(CLAIMS).await?)?;
        let begin = ledger.begin(table, line, &lineages).await?;
        let known = ledger.known_cursor(&claims).await?.max(begin);
        let before = ledger.newest(&ledger.names(&entry(known)).await?).unwrap_or(known);
        ledger.write_claim(table, before).await?;
        // The claim is visible: whoever lists from now on sees it. Who wrote before is seen now.
        let names = ledger.names(&entry(before)).await?;
        let claims = ledger.claims(&names)?;
        ledger.close_older(&lineages).await?;
        ledger.remove_older(claims).await;
        let cursor = ledger.newest(&names).unwrap_or(before);
        Ok((ledger, Cursor(cursor)))
    }

    /// Where a lineage that was cut from others begins, and up to which epoch the older ones count: decided by whoever opens
    /// it first, and written down before its first claim.
    async fn begin(&self, table: &str, line: &Line, lineages: &[Lineage]) -> Result<Epoch> {
        if line.ancestors.is_empty() {
            return Ok(Epoch::ZERO);
        }
        if let Some(known) = self.line_of(&self.label).await? {
            return Ok(begin_in(&known));
        }
        // Shut first: what their owners still land from here on is cut off below.
        self.close_older(lineages).await?;
        let mut standings = self.standings(&self.claimed.job).await?;
        for job in line.other_jobs(&self.claimed.job) {
            standings.extend(self.standings(&job).await?);
        }
        let begin = line.begin(table, &standings);
        let counts = self.counts(line, begin, lineages).await?;
        let body = json!({"version": 1, "begin": begin.0, "counts": counts});
        let (path, address) = (under(&self.folder, LINE)?, self.address_of(LINE));
        match create(self.store.as_ref(), &path, &Bytes::from(body.to_string()), &address).await? {
            Created::Holds => Ok(begin),
            Created::Other(found) => Ok(begin_in(&parse(&found.bytes, &address)?)),
        }
    }

    /// What a lineage says of its line; `None` for one that was not cut from others.
    async fn line_of(&self, label: &str) -> Result<Option<Value>> {
        let address = format!("{}/{label}/{LINE}", self.address);
        let path = under(&under(&self.root, label)?, LINE)?;
        let found = read(self.store.as_ref(), &path, &address).await?;
        found.map(|found| parse(&found.bytes, &address)).transpose()
    }

    /// Lineage to the last epoch of it that counts, for every older lineage of this job: what this lineage shares with its
    /// ancestors, and nothing of those that it does not descend from.
    async fn counts(&self, line: &Line, begin: Epoch, lineages: &[Lineage]) -> Result<BTreeMap<String, u64>> {
        let mut counts = BTreeMap::new();
        for older in lineages.iter().filter(|lineage| **lineage < self.claimed.lineage) {
            let ancestor =
                line.ancestors.iter().find(|ancestor| ancestor.job == self.claimed.job && ancestor.lineage == *older);
            counts.insert(older.to_string(), ancestor.map_or(0, |ancestor| ancestor.shared.min(begin).0));
        }
        // An ancestor has cut its own ancestors off in its turn.
        for ancestor in line.ancestors.iter().filter(|ancestor| ancestor.job == self.claimed.job) {
            let label = label(&Claimed { lineage: ancestor.lineage, ..self.claimed.clone() });
            let Some(older) = self.line_of(&label).await? else { continue };
            for (lineage, least) in older["counts"].as_object().into_iter().flatten() {
                if let (Some(count), Some(least)) = (counts.get_mut(lineage), least.as_u64()) {
                    *count = (*count).min(least);
                }
            }
        }
        Ok(counts)
    }

    /// What the ledger holds of every lineage of a job's shard.
    pub(crate) async fn standings(&self, job: &JobName) -> Result<Vec<Standing>> {
        let mut standings = Vec::new();
        for lineage in self.lineages_of(job).await? {
            let label = label(&Claimed { job: job.clone(), lineage, ..self.claimed.clone() });
            let names = self.names_in(&under(&self.root, &label)?, "").await?;
            let generations = names.iter().filter_map(|name| parse_claim(name));
            let generation = generations.filter(|generation| *generation != CLOSED).max().unwrap_or(Generation(0));
            let begin = match names.iter().any(|name| name == LINE) {
                false => Epoch::ZERO,
                true => self.line_of(&label).await?.as_ref().map_or(Epoch::ZERO, begin_in),
            };
            let epoch = self.newest(&names).unwrap_or(Epoch::ZERO).max(begin);
            standings.push(Standing { job: job.clone(), lineage, generation, epoch });
        }
        Ok(standings)
    }

    /// A ledger to look at, without a claim.
    pub(crate) fn look(
        store: Arc<dyn ObjectStore>,
        path: &Path,
        address: &str,
        job: &JobName,
        shard: ShardId,
    ) -> Result<Self> {
        let claimed = Claimed { job: job.clone(), lineage: Lineage(0), shard, generation: Generation(0) };
        let label = label(&claimed);
        let root = under(path, LEDGER)?;
        let folder = under(&root, &label)?;
        Ok(Self { store, root, folder, claimed, label, address: format!("{address}/{LEDGER}") })
    }

    /// Fails when a newer owner exists, or when the ledger does not stand at `after`. One listing.
    pub(crate) async fn check(&self, after: Cursor) -> Result<()> {
        let names = self.names(&entry(after.0)).await?;
        self.claims(&names)?;
        match self.newest(&names) {
            None => Ok(()),
            Some(epoch) => Err(Error::retry(format!(
                "{}/{}: epoch {epoch} is already in the ledger, beyond epoch {after} where this owner stands: the \
                 sink is opened again",
                self.address,
                self.label,
                after = after.0
            ))),
        }
    }

    /// Makes the files of an epoch count.
    pub(crate) async fn commit(
        &self,
        epoch: Epoch,
        after: Cursor,
        sealed_at_ms: i64,
        files: &[LedgerFile],
    ) -> Result<()> {
        let file = |f: &LedgerFile| json!({"path": f.path, "rows": f.rows, "bytes": f.bytes, "sha256": f.sha256});
        let files: Vec<Value> = files.iter().map(file).collect();
        let body = json!({
            "version": 1,
            "job": self.claimed.job.as_str(),
            "lineage": self.claimed.lineage.0,
            "shard": self.claimed.shard.0,
            "epoch": epoch.0,
            "after": after.0.0,
            "generation": self.claimed.generation.0,
            "sealed_at_ms": sealed_at_ms,
            "rows": files.iter().filter_map(|file| file["rows"].as_u64()).sum::<u64>(),
            "files": files,
        });
        let name = entry(epoch);
        let address = self.address_of(&name);
        let bytes = Bytes::from(body.to_string());
        match create(self.store.as_ref(), &under(&self.folder, &name)?, &bytes, &address).await? {
            Created::Holds => Ok(()),
            // An older generation may have written it in its last moment: the same files are the same epoch.
            Created::Other(found) if parse(&found.bytes, &address)?["files"] == body["files"] => Ok(()),
            Created::Other(_) => Err(Error::data(format!(
                "{address} exists and lists other files than epoch {epoch} has: another job of the same name may \
                 write to the same path; nothing was changed"
            ))),
        }
    }

    /// Which of `wanted` (path below the table's path, and hash) this job has written in an earlier epoch or lineage.
    pub(crate) async fn recorded(&self, wanted: &HashMap<String, String>) -> Result<HashSet<String>> {
        let mut found = HashSet::new();
        let mut lineages = self.lineages().await?;
        lineages.retain(|lineage| *lineage <= self.claimed.lineage);
        // The newest first: an object that changes often was changed lately.
        lineages.sort_unstable_by(|left, right| right.cmp(left));
        for lineage in lineages {
            let label = label(&Claimed { lineage, ..self.claimed.clone() });
            let folder = under(&self.root, &label)?;
            let mut names = self.names_in(&folder, "").await?;
            names.retain(|name| parse_entry(name).is_some());
            names.sort_unstable_by(|left, right| right.cmp(left));
            for chunk in names.chunks(CONCURRENT_READS) {
                let reads: Vec<_> = chunk.iter().map(|name| self.entry_files(&folder, &label, name)).collect();
                let entries: Vec<Vec<(String, String)>> =
                    futures::stream::iter(reads).buffered(CONCURRENT_READS).try_collect().await?;
                let ours = entries.into_iter().flatten().filter(|(path, hash)| wanted.get(path) == Some(hash));
                found.extend(ours.map(|(path, _)| path));
                if found.len() == wanted.len() {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    async fn entry_files(&self, folder: &Path, label: &str, name: &str) -> Result<Vec<(String, String)>> {
        let address = format!("{}/{label}/{name}", self.address);
        let Some(found) = read(self.store.as_ref(), &under(folder, name)?, &address).await? else { return Ok(vec![]) };
        let body = parse(&found.bytes, &address)?;
        let files = body["files"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(files.iter().map(|file| (text(&file["path"]), text(&file["sha256"]))).collect())
    }

    /// The lineages of this job and shard that have a ledger here.
    async fn lineages(&self) -> Result<Vec<Lineage>> {
        self.lineages_of(&self.claimed.job).await
    }

    async fn lineages_of(&self, wanted: &JobName) -> Result<Vec<Lineage>> {
        let listed = self.store.list_with_delimiter(Some(&self.root)).await;
        let folders = listed.map_err(|error| store_error(error, &format!("listing {}", self.address)))?.common_prefixes;
        let of_ours = |folder: &Path| {
            let (job, lineage, shard) = parse_label(folder.filename()?)?;
            (job == wanted.as_str() && shard == self.claimed.shard).then_some(lineage)
        };
        Ok(folders.iter().filter_map(of_ours).collect())
    }

    /// The names in the folder that sort after `after`. Claims sort after all entries.
    async fn names(&self, after: &str) -> Result<Vec<String>> {
        self.names_in(&self.folder, after).await
    }

    async fn names_in(&self, folder: &Path, after: &str) -> Result<Vec<String>> {
        let listing = match after {
            "" => self.store.list(Some(folder)),
            after => self.store.list_with_offset(Some(folder), &under(folder, after)?),
        };
        let listed: Vec<_> = listing
            .try_collect()
            .await
            .map_err(|error| store_error(error, &format!("listing {}/{}", self.address, self.label)))?;
        Ok(listed.iter().filter_map(|object| relative(folder, &object.location).map(str::to_owned)).collect())
    }

    fn newest(&self, names: &[String]) -> Option<Epoch> {
        names.iter().filter_map(|name| parse_entry(name)).max()
    }

    /// The generations that claimed; fails when one of them is newer than this owner.
    fn claims(&self, names: &[String]) -> Result<Vec<Generation>> {
        let claims: Vec<Generation> = names.iter().filter_map(|name| parse_claim(name)).collect();
        match claims.iter().max() {
            Some(&CLOSED) => Err(self.fenced("a later lineage of the job has begun")),
            Some(newest) if *newest > self.claimed.generation => {
                Err(self.fenced(&format!("generation {newest} has taken over")))
            }
            _ => Ok(claims),
        }
    }

    fn fenced(&self, why: &str) -> Error {
        let Claimed { job, shard, generation, .. } = &self.claimed;
        Error::fenced(format!(
            "{}: {why}; this process is generation {generation} of job '{job}', shard {shard}, and writes nothing more",
            self.address
        ))
    }

    /// What the newest claim knew of the cursor: the listing can begin there, however long the ledger is.
    async fn known_cursor(&self, claims: &[Generation]) -> Result<Epoch> {
        let Some(newest) = claims.iter().max() else { return Ok(Epoch::ZERO) };
        let name = claim(*newest);
        let address = self.address_of(&name);
        let found = read(self.store.as_ref(), &under(&self.folder, &name)?, &address).await?;
        match found {
            Some(found) => Ok(Epoch(parse(&found.bytes, &address)?["cursor"].as_u64().unwrap_or(0))),
            None => Ok(Epoch::ZERO),
        }
    }

    async fn write_claim(&self, table: &str, cursor: Epoch) -> Result<()> {
        let name = claim(self.claimed.generation);
        let address = self.address_of(&name);
        let body = json!({"version": 1, "generation": self.claimed.generation.0, "cursor": cursor.0, "table": table});
        let bytes = Bytes::from(body.to_string());
        let Created::Other(found) = create(self.store.as_ref(), &under(&self.folder, &name)?, &bytes, &address).await?
        else {
            return Ok(());
        };
        // Opened again by the same owner; or by another table of the job, whose epochs would be taken for this one's.
        match parse(&found.bytes, &address)?["table"].as_str() {
            Some(other) if other != table => Err(Error::config(format!(
                "tables '{other}' and '{table}' write to the same path ({}): give each table a path of its own",
                self.address.trim_end_matches(LEDGER)
            ))),
            _ => Ok(()),
        }
    }

    async fn close_older(&self, lineages: &[Lineage]) -> Result<()> {
        for older in lineages.iter().filter(|lineage| **lineage < self.claimed.lineage) {
            self.close_lineage(*older).await?;
        }
        Ok(())
    }

    /// Fences every owner of an older lineage.
    async fn close_lineage(&self, lineage: Lineage) -> Result<()> {
        let label = label(&Claimed { lineage, ..self.claimed.clone() });
        let name = claim(CLOSED);
        let path = under(&under(&self.root, &label)?, &name)?;
        let bytes = Bytes::from(json!({"version": 1, "closed_by_lineage": self.claimed.lineage.0}).to_string());
        create(self.store.as_ref(), &path, &bytes, &format!("{}/{label}/{name}", self.address)).await.map(|_| ())
    }

    /// Keeps the listings short. Failing is harmless.
    async fn remove_older(&self, claims: Vec<Generation>) {
        let older = claims.into_iter().filter(|generation| *generation < self.claimed.generation);
        let paths: Vec<_> =
            older.filter_map(|generation| under(&self.folder, &claim(generation)).ok()).map(Ok).collect();
        let mut deleted = self.store.delete_stream(futures::stream::iter(paths).boxed());
        while let Some(outcome) = deleted.next().await {
            if let Err(error) = outcome {
                tracing::debug!(%error, ledger = %self.address, "an old claim could not be removed; it is left");
            }
        }
    }

    fn address_of(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.address, self.label)
    }
}

/// Where a lineage begins, as its line says.
fn begin_in(line: &Value) -> Epoch {
    Epoch(line["begin"].as_u64().unwrap_or(0))
}

fn parse(bytes: &[u8], address: &str) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|error| {
        Error::data(format!("{address} is damaged ({error}): look at it, and restore or remove it by hand"))
            .with_source(error)
    })
}
