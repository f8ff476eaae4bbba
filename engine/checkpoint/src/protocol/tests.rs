//! Every case of every decision, and the laws over random histories.

use super::*;
use aqueduct_core::{Epoch, Generation, Lineage};
use std::collections::BTreeSet;

const MINE: Mine<'static> = Mine { slot: Slot(5), put_id: "mine", generation: Generation(3) };

fn held(put_id: &str, generation: u64) -> Found<'_> {
    Found::Record { put_id, generation: Generation(generation) }
}

#[test]
fn our_own_success_told_as_a_failure_is_a_success() {
    assert_eq!(judge_create(MINE, held("mine", 3), None), Judgement::Won);
    assert_eq!(judge_create(MINE, held("mine", 3), Some(Slot(5))), Judgement::Won);
}

#[test]
fn a_conflict_with_nothing_landed_is_tried_again() {
    assert_eq!(judge_create(MINE, Found::Absent, None), Judgement::RetrySameSlot);
    assert_eq!(judge_create(MINE, Found::Absent, Some(Slot(5))), Judgement::RetrySameSlot);
}

#[test]
fn a_higher_generation_in_our_slot_fences() {
    assert_eq!(judge_create(MINE, held("other", 4), None), Judgement::Fenced { by: Generation(4) });
    assert_eq!(judge_create(MINE, held("other", 4), Some(Slot(9))), Judgement::Fenced { by: Generation(4) });
}

#[test]
fn the_same_or_a_lower_generation_in_our_slot_is_a_lost_race() {
    assert_eq!(judge_create(MINE, held("other", 3), None), Judgement::Lost { holder: Generation(3) });
    assert_eq!(judge_create(MINE, held("other", 1), None), Judgement::Lost { holder: Generation(1) });
}

#[test]
fn a_slot_that_was_collected_meanwhile_does_not_count() {
    assert_eq!(judge_create(MINE, held("mine", 3), Some(Slot(6))), Judgement::BehindBoundary);
    assert_eq!(judge_create(MINE, Found::Absent, Some(Slot(6))), Judgement::BehindBoundary);
}

#[test]
fn only_a_clean_first_commit_skips_the_boundary() {
    assert!(!must_check_boundary(false, 1));
    assert!(must_check_boundary(false, 2));
    assert!(must_check_boundary(true, 1));
}

#[test]
fn the_next_slot_tells_who_owns() {
    let own = Generation(3);
    assert_eq!(judge_next_slot(own, Found::Absent), NextSlot::StillOwner);
    assert_eq!(judge_next_slot(own, held("x", 3)), NextSlot::LookFurther);
    assert_eq!(judge_next_slot(own, held("x", 4)), NextSlot::Fenced { by: Generation(4) });
    assert_eq!(judge_next_slot(own, held("x", 2)), NextSlot::Broken { holder: Generation(2) });
}

#[test]
fn a_claim_follows_the_tail_and_carries_the_newest_commit() {
    let first = plan_claim(Tail::Empty);
    assert_eq!(first, ClaimPlan { slot: Slot(0), generation: Generation(1), newest_commit: None });
    let tail = Tail::At { slot: Slot(8), generation: Generation(2), newest_commit: Some(Slot(7)) };
    let next = ClaimPlan { slot: Slot(9), generation: Generation(3), newest_commit: Some(Slot(7)) };
    assert_eq!(plan_claim(tail), next);
}

#[test]
fn a_claimant_looks_again_until_it_wins() {
    assert_eq!(judge_claim(Judgement::Won), ClaimJudgement::Owned);
    assert_eq!(judge_claim(Judgement::Fenced { by: Generation(9) }), ClaimJudgement::LookAgain);
    assert_eq!(judge_claim(Judgement::Lost { holder: Generation(1) }), ClaimJudgement::LookAgain);
    assert_eq!(judge_claim(Judgement::BehindBoundary), ClaimJudgement::LookAgain);
    assert_eq!(judge_claim(Judgement::RetrySameSlot), ClaimJudgement::RetrySameSlot);
}

#[test]
fn the_newest_lineage_and_the_greatest_boundary_count() {
    assert_eq!(newest_lineage([]), Lineage(1));
    assert_eq!(newest_lineage([Lineage(2), Lineage(11), Lineage(3)]), Lineage(11));
    assert_eq!(greatest_boundary([]), None);
    assert_eq!(greatest_boundary([Slot(4), Slot(2)]), Some(Slot(4)));
}

#[test]
fn only_the_store_s_word_or_the_slot_itself_tells_what_stands() {
    let mine = Found::Record { put_id: "mine", generation: Generation(3) };
    assert_eq!(stands_after(MINE, true, None), mine);
    assert_eq!(stands_after(MINE, false, None), Found::Absent);
    assert_eq!(stands_after(MINE, false, Some(("mine", Generation(3)))), mine);
    assert_eq!(stands_after(MINE, false, Some(("other", Generation(4)))), held("other", 4));
}

#[test]
fn what_is_missing_is_damage_only_to_an_owner() {
    let fenced = NextSlot::Fenced { by: Generation(4) };
    assert_eq!(judge_missing(fenced, Slot(6), None), Missing::Fenced { by: Some(Generation(4)) });
    assert_eq!(judge_missing(NextSlot::StillOwner, Slot(6), None), Missing::Damaged);
    assert_eq!(judge_missing(NextSlot::StillOwner, Slot(6), Some(Slot(6))), Missing::Damaged);
    // Our commit of unknown outcome landed there and was collected.
    assert_eq!(judge_missing(NextSlot::StillOwner, Slot(6), Some(Slot(7))), Missing::Fenced { by: None });
    assert_eq!(judge_missing(NextSlot::Broken { holder: Generation(2) }, Slot(6), Some(Slot(7))), Missing::Damaged);
}

#[test]
fn a_tail_names_the_newest_commit() {
    let at = |newest_commit| Tail::At { slot: Slot(8), generation: Generation(2), newest_commit };
    assert_eq!(tail_after(Slot(8), Generation(2), Last::Commit), at(Some(Slot(8))));
    assert_eq!(tail_after(Slot(8), Generation(2), Last::Claim { newest_commit: Some(Slot(3)) }), at(Some(Slot(3))));
    assert_eq!(tail_after(Slot(8), Generation(2), Last::Claim { newest_commit: None }), at(None));
    assert_eq!(tail_after(Slot(8), Generation(2), Last::Rewind), at(None));
}

#[test]
fn a_look_begins_where_something_must_stand() {
    assert_eq!(probe_from(None, None), Slot(0));
    assert_eq!(probe_from(Some(Slot(3)), None), Slot(3));
    assert_eq!(probe_from(Some(Slot(3)), Some(Slot(5))), Slot(5));
    assert_eq!(probe_from(None, Some(Slot(5))), Slot(5));
    let tail = tail_after(Slot(3), Generation(1), Last::Commit);
    assert_eq!(judge_look(Tail::Empty, None, None), Look::Done);
    assert_eq!(judge_look(tail, Some(Slot(3)), None), Look::Done);
    // What was listed is gone: collected meanwhile.
    assert_eq!(judge_look(Tail::Empty, Some(Slot(3)), None), Look::Again);
    assert_eq!(judge_look(Tail::Empty, None, Some(Slot(3))), Look::Again);
}

#[test]
fn a_claim_in_a_lineage_that_was_left_behind_does_not_count() {
    assert_eq!(judge_lineage(Lineage(2), Lineage(2)), LineageJudgement::Current);
    assert_eq!(judge_lineage(Lineage(1), Lineage(2)), LineageJudgement::LeftBehind { by: Lineage(2) });
    assert_eq!(next_lineage([]), Lineage(2));
    // Lineage 3 was begun and given up: its folder is passed over.
    assert_eq!(next_lineage([Lineage(1), Lineage(3)]), Lineage(4));
    assert_eq!(cursor_in_lineage(Epoch::ZERO, Epoch(7)), Epoch(7));
    assert_eq!(cursor_in_lineage(Epoch(9), Epoch(7)), Epoch(9));
}

#[test]
fn a_cursor_that_does_not_fit_the_log_is_refused() {
    assert_eq!(judge_cursor(Epoch(3), Epoch(5), Epoch(3)), Backlog::Deliver);
    assert_eq!(judge_cursor(Epoch(5), Epoch(5), Epoch::ZERO), Backlog::Deliver);
    assert_eq!(judge_cursor(Epoch(6), Epoch(5), Epoch::ZERO), Backlog::SinkAhead);
    assert_eq!(judge_cursor(Epoch(2), Epoch(5), Epoch(3)), Backlog::Hole { missing: Epoch(3) });
}

#[test]
fn leftovers_are_what_lies_below_the_floor_and_is_no_claim() {
    let claims = BTreeSet::from([Slot(0)]);
    let found = [Slot(0), Slot(1), Slot(2), Slot(3)];
    assert_eq!(leftovers(found, Slot(2), &claims), BTreeSet::from([Slot(1)]));
}

#[test]
fn a_name_that_was_given_up_does_not_come_back() {
    let mut book = BlobBook::new([("sha", 3, "blobs/g1/sha")]);
    assert_eq!(book.reuse("sha", 4), None, "another size is other contents");
    assert_eq!(book.reuse("sha", 3).as_deref(), Some("blobs/g1/sha"));
    assert!(book.pinned().contains("blobs/g1/sha"));
    book.committed(["blobs/g1/sha"]);
    assert!(book.pinned().is_empty());
    book.give_up(&BTreeSet::from(["blobs/g1/sha".to_owned()]));
    assert_eq!((book.reuse("sha", 3), book.times_given_up("sha"), book.times_given_up("other")), (None, 1, 0));
    book.learn("sha", 3, "blobs/g2/sha.1");
    assert_eq!(book.reuse("sha", 3).as_deref(), Some("blobs/g2/sha.1"));
}

fn commit(slot: u64, epoch: u64, blobs: &[&str]) -> LogEntry {
    let blobs = blobs.iter().map(|&blob| blob.to_owned()).collect();
    LogEntry { slot: Slot(slot), said: Said::Commit { epoch: Epoch(epoch), blobs } }
}

fn claim(slot: u64) -> LogEntry {
    LogEntry { slot: Slot(slot), said: Said::Stays }
}

fn plan(entries: &[LogEntry], keep_after: u64, retained: usize, pinned: &[&str]) -> Option<CollectPlan> {
    let pinned: BTreeSet<String> = pinned.iter().map(|&blob| blob.to_owned()).collect();
    plan_collect(&CollectFacts { entries, keep_after: Epoch(keep_after), retained, pinned: &pinned })
}

#[test]
fn what_a_sink_or_a_retained_commit_needs_stays() {
    let log = [claim(0), commit(1, 1, &["a", "b"]), commit(2, 2, &["b", "c"]), claim(3), commit(4, 3, &["c", "d"])];
    // A sink that stands before the first epoch needs everything.
    assert_eq!(plan(&log, 0, 1, &[]), None);
    // All sinks have everything: the newest stays, claims stay, shared blobs stay.
    let all = plan(&log, 3, 1, &[]).unwrap();
    assert_eq!(all.boundary, Slot(4));
    assert_eq!(all.records, [Slot(1), Slot(2)]);
    assert_eq!(all.claims, [Slot(0), Slot(3)]);
    assert_eq!(all.blobs, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    // Zero retained is one retained.
    assert_eq!(plan(&log, 3, 0, &[]), Some(all));
    // A sink that stands at epoch 1 needs epochs 2 and 3.
    let behind = plan(&log, 1, 1, &[]).unwrap();
    assert_eq!((behind.boundary, behind.records.as_slice()), (Slot(2), [Slot(1)].as_slice()));
    assert_eq!(behind.blobs, BTreeSet::from(["a".to_owned()]));
    // Retained commits stay though no sink needs them.
    assert_eq!(plan(&log, 3, 2, &[]).unwrap().boundary, Slot(2));
    assert_eq!(plan(&log, 3, 3, &[]), None);
    assert_eq!(plan(&log, 3, 100, &[]), None);
}

#[test]
fn a_blob_that_was_put_for_the_coming_commit_stays() {
    let log = [commit(1, 1, &["a", "b"]), commit(2, 2, &["c"])];
    assert_eq!(plan(&log, 2, 1, &["a"]).unwrap().blobs, BTreeSet::from(["b".to_owned()]));
}

#[test]
fn a_beginning_stays_and_its_blobs_go() {
    let blobs = ["a", "b"].map(str::to_owned).into();
    let beginning = LogEntry { slot: Slot(0), said: Said::Begins { epoch: Epoch(4), blobs } };
    let log = [beginning, claim(1), commit(2, 5, &["b", "c"]), commit(3, 6, &["c"])];
    assert_eq!(plan(&log, 3, 1, &[]), None, "a sink that stands before the cut needs what the lineage began with");
    let gone = plan(&log, 5, 1, &[]).unwrap();
    assert_eq!((gone.boundary, gone.records, gone.claims), (Slot(3), vec![Slot(2)], vec![Slot(0), Slot(1)]));
    assert_eq!(gone.blobs, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
}

#[test]
fn a_log_without_commits_has_nothing_to_collect() {
    assert_eq!(plan(&[], 9, 1, &[]), None);
    assert_eq!(plan(&[claim(0), claim(1)], 9, 1, &[]), None);
}

#[test]
fn only_lower_generations_leave_orphans() {
    let found = [("old", 1), ("needed", 1), ("mine", 2), ("later", 3)];
    let found = found.map(|(blob, generation)| (blob.to_owned(), Generation(generation)));
    let needed = BTreeSet::from(["needed".to_owned()]);
    assert_eq!(orphans(found, &needed, Generation(2)), BTreeSet::from(["old".to_owned()]));
}

/// Owners, stalled owners, claimants and collectors in random order over a model of the log: however they interleave, no
/// slot counts for two owners, and no record is won after a newer claim.
#[test]
fn random_histories_keep_the_laws() {
    for seed in 1..2000 {
        Model::new(seed).run();
    }
}

struct Owner {
    generation: Generation,
    tail: Slot,
    stopped: bool,
}

struct Model {
    random: u64,
    /// Slot to (put id, generation, is a claim); collected slots are gone.
    log: std::collections::BTreeMap<Slot, (String, Generation, bool)>,
    boundary: Option<Slot>,
    owners: Vec<Owner>,
    /// Claimants that have read a tail and stalled before their create.
    stalled: Vec<ClaimPlan>,
    puts: u64,
    newest_claim: Generation,
}

impl Model {
    fn new(seed: u64) -> Self {
        Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            log: std::collections::BTreeMap::new(),
            boundary: None,
            owners: Vec::new(),
            stalled: Vec::new(),
            puts: 0,
            newest_claim: Generation(0),
        }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn run(&mut self) {
        for _ in 0..60 {
            match self.draw(6) {
                0 => self.look(),
                1 => self.claim(),
                2 => self.collect(),
                _ => self.commit(),
            }
        }
    }

    fn look(&mut self) {
        let tail = match self.log.last_key_value() {
            None => Tail::Empty,
            Some((slot, (_, generation, _))) => {
                let commits = self.log.iter().rev().find(|(_, (_, _, is_claim))| !is_claim);
                Tail::At { slot: *slot, generation: *generation, newest_commit: commits.map(|(slot, _)| *slot) }
            }
        };
        self.stalled.push(plan_claim(tail));
    }

    /// Creates if absent, then reads back; the reply itself may be lost, so that it is tried twice.
    fn create(&mut self, slot: Slot, generation: Generation, is_claim: bool) -> Judgement {
        self.puts += 1;
        let put_id = self.puts.to_string();
        let attempts = 1 + self.draw(2) as u32;
        for _ in 0..attempts {
            self.log.entry(slot).or_insert_with(|| (put_id.clone(), generation, is_claim));
        }
        let (found_id, found_generation, _) = &self.log[&slot];
        let boundary = if must_check_boundary(is_claim, attempts) { self.boundary } else { None };
        let found = Found::Record { put_id: found_id, generation: *found_generation };
        judge_create(Mine { slot, put_id: &put_id, generation }, found, boundary)
    }

    fn claim(&mut self) {
        if self.stalled.is_empty() {
            return;
        }
        let which = self.draw(self.stalled.len() as u64) as usize;
        let plan = self.stalled.swap_remove(which);
        let judgement = self.create(plan.slot, plan.generation, true);
        if judge_claim(judgement) == ClaimJudgement::Owned {
            assert!(plan.generation > self.newest_claim, "two claims of one generation");
            self.newest_claim = plan.generation;
            self.owners.push(Owner { generation: plan.generation, tail: plan.slot, stopped: false });
        }
    }

    fn commit(&mut self) {
        if self.owners.is_empty() {
            return;
        }
        let which = self.draw(self.owners.len() as u64) as usize;
        let (generation, tail) = (self.owners[which].generation, self.owners[which].tail);
        if self.owners[which].stopped {
            return;
        }
        match self.create(tail.next(), generation, false) {
            Judgement::Won => {
                assert_eq!(generation, self.newest_claim, "a fenced owner committed");
                self.owners[which].tail = tail.next();
            }
            Judgement::Fenced { by } => {
                assert!(by > generation);
                self.owners[which].stopped = true;
            }
            other => panic!("an owner met {other:?}"),
        }
    }

    /// Any owner that does not know better collects, also a fenced one.
    fn collect(&mut self) {
        if self.owners.is_empty() {
            return;
        }
        let which = self.draw(self.owners.len() as u64) as usize;
        let tail = self.owners[which].tail;
        let entries: Vec<LogEntry> = self
            .log
            .range(self.boundary.unwrap_or(Slot(0))..)
            .take_while(|(slot, _)| **slot <= tail)
            .map(|(slot, (_, _, is_claim))| if *is_claim { claim(slot.0) } else { commit(slot.0, slot.0, &[]) })
            .collect();
        if let Some(plan) = plan(&entries, u64::MAX, 1, &[]) {
            self.boundary = self.boundary.max(Some(plan.boundary));
            for slot in plan.records {
                self.log.remove(&slot);
            }
        }
    }
}
