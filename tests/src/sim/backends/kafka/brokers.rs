//! The brokers' side of the simulated Kafka: one log per topic, a transaction coordinator, groups' offsets.
//!
//! What real brokers do by themselves happens here by itself: a transaction that was decided is finished a while later, one
//! that lasts too long is aborted. Requests carry producer id and epoch, and are judged when they arrive.

use crate::sim::world::World;
use aqueduct_kafka::simulation::Mark;
use rdkafka::error::RDKafkaErrorCode as Code;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// A record: key and value.
pub type Pair = (Option<Vec<u8>>, Vec<u8>);

/// Who sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Producer {
    pub(super) transactional_id: String,
    pub(super) id: u64,
    pub(super) epoch: u32,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Its transaction is not over.
    Open,
    Committed,
    Aborted,
}

#[derive(Debug)]
struct Record {
    /// Of a transactional producer.
    producer: Option<u64>,
    pair: Pair,
    fate: Fate,
}

#[derive(Debug, Default)]
struct Topic {
    log: Vec<Record>,
    /// Per producer id: the newest epoch that the partition has seen, and the next sequence number in it.
    seen: BTreeMap<u64, (u32, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No transaction.
    Empty,
    /// Something has been added to it.
    Ongoing,
    /// Decided; markers are being written.
    Ending { commit: bool },
}

#[derive(Debug)]
struct Coordinated {
    id: u64,
    epoch: u32,
    state: State,
    /// The last transaction was committed: the same request again is answered alike.
    committed: bool,
    /// Counts transactions, so that time-outs and markers know theirs.
    number: u64,
    topics: Vec<String>,
    offsets: Vec<(String, Mark)>,
}

#[derive(Debug, Default)]
struct Inner {
    topics: BTreeMap<String, Topic>,
    transactions: BTreeMap<String, Coordinated>,
    groups: BTreeMap<String, Mark>,
    next: u64,
}

/// The cluster; clones are the same one.
#[derive(Clone)]
pub(super) struct Brokers {
    pub(super) world: World,
    inner: Arc<Mutex<Inner>>,
}

type Reply<T> = Result<T, Code>;

impl Brokers {
    pub(super) fn new(world: World) -> Self {
        Self { world, inner: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A simulated crash unwinds through clients, never through a request.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something later, if the cluster is still there.
    pub(super) fn later(&self, after: Duration, what: impl FnOnce(&Brokers) + Send + 'static) {
        let (world, inner): (World, Weak<Mutex<Inner>>) = (self.world.clone(), Arc::downgrade(&self.inner));
        self.world.later(after, move || {
            if let Some(inner) = inner.upgrade() {
                what(&Brokers { world, inner });
            }
        });
    }

    /// What a reader of committed records sees: nothing beyond the first record whose transaction is open.
    pub(super) fn committed(&self, topic: &str) -> Vec<Pair> {
        let inner = self.lock();
        let log = inner.topics.get(topic).map(|topic| topic.log.as_slice()).unwrap_or_default();
        let stable = log.iter().take_while(|record| record.fate != Fate::Open);
        stable.filter(|record| record.fate == Fate::Committed).map(|record| record.pair.clone()).collect()
    }

    /// Every record that ever arrived.
    pub(super) fn written(&self, topic: &str) -> usize {
        self.lock().topics.get(topic).map_or(0, |topic| topic.log.len())
    }

    pub(super) fn groups(&self) -> BTreeMap<String, Mark> {
        self.lock().groups.clone()
    }

    /// Plain offsets, as without a transaction.
    pub(super) fn commit_offset(&self, group: &str, mark: Mark) {
        self.lock().groups.insert(group.to_owned(), mark);
    }

    /// Plain records, as without a transaction.
    pub(super) fn append_plain(&self, topic: &str, pairs: &[Pair]) {
        let record = |pair: &Pair| Record { producer: None, pair: pair.clone(), fate: Fate::Committed };
        self.lock().topics.entry(topic.to_owned()).or_default().log.extend(pairs.iter().map(record));
    }

    /// A stable read of a group's offset.
    pub(super) fn offset(&self, group: &str) -> Reply<Option<Mark>> {
        let inner = self.lock();
        let pending = inner.transactions.values().any(|coordinated| {
            coordinated.state != State::Empty && coordinated.offsets.iter().any(|(other, _)| other == group)
        });
        if pending && !self.world.planted("kafka.unstable-offsets") {
            return Err(Code::UnstableOffsetCommit);
        }
        Ok(inner.groups.get(group).cloned())
    }

    /// InitProducerId: a new epoch; a transaction of the older one is ended first.
    pub(super) fn init(&self, transactional_id: &str) -> Reply<Producer> {
        let mut inner = self.lock();
        inner.next += 1;
        let fresh = inner.next;
        let coordinated = inner.transactions.entry(transactional_id.to_owned()).or_insert_with(|| Coordinated {
            id: fresh,
            epoch: 0,
            state: State::Empty,
            committed: false,
            number: 0,
            topics: Vec::new(),
            offsets: Vec::new(),
        });
        let waits = !self.world.planted("kafka.unstable-offsets");
        match coordinated.state {
            State::Ending { .. } if waits => return Err(Code::ConcurrentTransactions),
            State::Ongoing => {
                // The fence first: from now on the old producer is refused.
                coordinated.epoch += 1;
                drop(inner);
                self.decide(transactional_id, false);
                return Err(Code::ConcurrentTransactions);
            }
            State::Empty | State::Ending { .. } => {}
        }
        if !self.world.planted("kafka.epoch-not-raised") {
            coordinated.epoch += 1;
        }
        coordinated.committed = false;
        let (id, epoch) = (coordinated.id, coordinated.epoch);
        drop(inner);
        self.world.trace(format!("kafka {transactional_id} epoch {epoch}"));
        Ok(Producer { transactional_id: transactional_id.to_owned(), id, epoch })
    }

    /// AddPartitionsToTxn and AddOffsetsToTxn: what the transaction will touch.
    pub(super) fn add(
        &self,
        producer: &Producer,
        timeout: Duration,
        topic: Option<&str>,
        offset: Option<(&str, &Mark)>,
    ) -> Reply<()> {
        let mut inner = self.lock();
        let coordinated = inner.coordinated(producer)?;
        if matches!(coordinated.state, State::Ending { .. }) {
            return Err(Code::ConcurrentTransactions);
        }
        let begins = coordinated.state == State::Empty;
        if begins {
            coordinated.state = State::Ongoing;
            coordinated.committed = false;
            coordinated.number += 1;
        }
        if let Some(topic) = topic.filter(|topic| !coordinated.topics.iter().any(|known| known == topic)) {
            coordinated.topics.push(topic.to_owned());
        }
        if let Some((group, mark)) = offset {
            coordinated.offsets.retain(|(other, _)| other != group);
            coordinated.offsets.push((group.to_owned(), mark.clone()));
        }
        let number = coordinated.number;
        let outside = offset.filter(|_| self.world.planted("kafka.cursor-outside-transaction"));
        if let Some((group, mark)) = outside {
            inner.groups.insert(group.to_owned(), mark.clone());
        }
        drop(inner);
        if begins {
            let id = producer.transactional_id.clone();
            self.later(timeout, move |brokers| brokers.time_out(&id, number));
        }
        Ok(())
    }

    /// Produce: appends records of an open transaction; `sequence` is the number of the first one in its epoch.
    pub(super) fn produce(&self, producer: &Producer, topic: &str, sequence: u64, pairs: &[Pair]) -> Reply<()> {
        let mut inner = self.lock();
        let topic = inner.topics.entry(topic.to_owned()).or_default();
        let (seen, next) = topic.seen.get(&producer.id).copied().unwrap_or_default();
        if producer.epoch < seen && !self.world.planted("kafka.epoch-not-raised") {
            self.world.count("kafka.old-epoch-refused");
            return Err(Code::InvalidProducerEpoch);
        }
        let next = if producer.epoch == seen { next } else { 0 };
        if sequence < next {
            self.world.count("kafka.duplicate-dropped");
            return Ok(());
        }
        if sequence > next {
            return Err(Code::OutOfOrderSequenceNumber);
        }
        topic.seen.insert(producer.id, (producer.epoch, next + pairs.len() as u64));
        let record = |pair: &Pair| Record { producer: Some(producer.id), pair: pair.clone(), fate: Fate::Open };
        topic.log.extend(pairs.iter().map(record));
        Ok(())
    }

    /// EndTxn with commit: from the answer on it counts, though nobody may see it yet.
    pub(super) fn end(&self, producer: &Producer) -> Reply<()> {
        let mut inner = self.lock();
        let coordinated = inner.coordinated(producer)?;
        match coordinated.state {
            State::Ongoing => {
                drop(inner);
                self.decide(&producer.transactional_id, true);
                Ok(())
            }
            State::Ending { commit: true } => Ok(()),
            State::Empty if coordinated.committed => Ok(()),
            State::Ending { commit: false } | State::Empty => Err(Code::InvalidTransactionalState),
        }
    }

    fn time_out(&self, transactional_id: &str, number: u64) {
        let mut inner = self.lock();
        let Some(coordinated) = inner.transactions.get_mut(transactional_id) else { return };
        if coordinated.number != number || coordinated.state != State::Ongoing {
            return;
        }
        coordinated.epoch += 1;
        drop(inner);
        self.world.count("kafka.transaction-timed-out");
        self.decide(transactional_id, false);
    }

    /// Ends an open transaction; its markers follow.
    fn decide(&self, transactional_id: &str, commit: bool) {
        let mut inner = self.lock();
        let Some(coordinated) = inner.transactions.get_mut(transactional_id) else { return };
        coordinated.state = State::Ending { commit };
        let number = coordinated.number;
        drop(inner);
        let late = self.world.fault("kafka.markers-late");
        let delay = Duration::from_millis(if late { self.world.draw(20_000) } else { self.world.draw(20) });
        let id = transactional_id.to_owned();
        self.later(delay, move |brokers| brokers.finish(&id, number, commit));
    }

    /// Writes the markers of a decided transaction: its records and offsets become visible, or never will.
    fn finish(&self, transactional_id: &str, number: u64, commit: bool) {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let Some(coordinated) = inner.transactions.get_mut(transactional_id) else { return };
        if coordinated.number != number || coordinated.state != (State::Ending { commit }) {
            return;
        }
        for name in std::mem::take(&mut coordinated.topics) {
            let topic = inner.topics.entry(name).or_default();
            let fate = if commit { Fate::Committed } else { Fate::Aborted };
            let open = |record: &&mut Record| record.producer == Some(coordinated.id) && record.fate == Fate::Open;
            topic.log.iter_mut().filter(open).for_each(|record| record.fate = fate);
            // The marker carries the coordinator's epoch: the partition refuses older ones from now on.
            let (seen, next) = topic.seen.get(&coordinated.id).copied().unwrap_or_default();
            if coordinated.epoch > seen {
                topic.seen.insert(coordinated.id, (coordinated.epoch, 0));
            } else {
                topic.seen.insert(coordinated.id, (seen, next));
            }
        }
        let mut moved = Vec::new();
        for (group, mark) in std::mem::take(&mut coordinated.offsets) {
            if commit {
                let before = inner.groups.insert(group.clone(), mark.clone());
                moved.push((group, before, mark));
            }
        }
        coordinated.state = State::Empty;
        coordinated.committed = commit;
        drop(guard);
        for (group, before, mark) in moved {
            self.world.trace(format!("kafka {group} {} {}", mark.metadata, mark.offset));
            self.judge(&group, before.as_ref(), &mark);
        }
    }

    /// The law of a cursor: neither its owner, nor inside a lineage its epoch, ever goes back.
    fn judge(&self, group: &str, before: Option<&Mark>, after: &Mark) {
        let owner = |mark: &Mark| super::owner(&mark.metadata).unwrap_or_default();
        let Some(before) = before else { return };
        let (was, is) = (owner(before), owner(after));
        if was > is || (was.0 == is.0 && before.offset > after.offset) {
            self.world.violation(format!("kafka: the cursor of {group} went back from {before:?} to {after:?}"));
        }
    }
}

impl Inner {
    /// The producer's transaction, if no newer epoch has taken over.
    fn coordinated(&mut self, producer: &Producer) -> Reply<&mut Coordinated> {
        let found = self.transactions.get_mut(&producer.transactional_id).ok_or(Code::InvalidProducerIdMapping)?;
        match found.id == producer.id && found.epoch == producer.epoch {
            true => Ok(found),
            false => Err(Code::InvalidProducerEpoch),
        }
    }
}
