//! The checker: every reachable state, breadth first, so that the first broken law has a shortest history.
//!
//! Why our own and not a crate: `stateright` 0.31 was weighed. Its tree is small, but it turns on features of `ahash`, which
//! DataFusion shares, so that tests and shipped binary would each need their own half-hour build; its liveness check is
//! documented to miss counterexamples where histories join; and it remembers 64-bit fingerprints where this remembers the
//! states themselves. On the same worlds both count the same states and find histories of the same length. It knows nothing of
//! what it explores.

use hashbrown::HashTable;
use std::fmt::Display;
use std::hash::{BuildHasher, Hash};

/// What can be explored.
pub(crate) trait Machine {
    type State: Clone + Eq + Hash;
    type Act: Clone + Display;

    fn first(&self) -> Self::State;
    /// Every step that may follow.
    fn next(&self, state: &Self::State, out: &mut Vec<(Self::Act, Self::State)>);
    /// The law that does not hold in a state.
    fn broken(&self, state: &Self::State) -> Option<&'static str>;
    /// The name of the law that a settled state must always stay reachable, if it is asked for.
    fn liveness(&self) -> Option<&'static str>;
    fn settled(&self, state: &Self::State) -> bool;
    /// Whether a step happens also when faults have stopped.
    fn calm(&self, act: &Self::Act) -> bool;
}

/// A broken law and the shortest history that breaks it.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    pub(crate) law: &'static str,
    pub(crate) trace: Vec<String>,
}

/// What an exploration came to.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// States reached, counted once for every step that reaches them.
    pub(crate) states: u64,
    pub(crate) unique: usize,
    pub(crate) depth: u32,
    pub(crate) broken: Option<Broken>,
}

const NONE: u32 = u32::MAX;

struct Seen<M: Machine> {
    states: Vec<M::State>,
    /// The state before each, and the step in between.
    came: Vec<(u32, Option<M::Act>)>,
    depth: Vec<u32>,
    index: HashTable<u32>,
    hasher: hashbrown::DefaultHashBuilder,
}

impl<M: Machine> Seen<M> {
    /// The state's number, and whether it is new.
    fn add(&mut self, state: M::State, from: u32, act: Option<M::Act>) -> (u32, bool) {
        let hash = self.hasher.hash_one(&state);
        if let Some(number) = self.index.find(hash, |number| self.states[*number as usize] == state) {
            return (*number, false);
        }
        let number = self.states.len() as u32;
        let (states, hasher) = (&self.states, &self.hasher);
        self.index.insert_unique(hash, number, |number| hasher.hash_one(&states[*number as usize]));
        let depth = if from == NONE { 0 } else { self.depth[from as usize] + 1 };
        self.states.push(state);
        self.came.push((from, act));
        self.depth.push(depth);
        (number, true)
    }

    fn trace(&self, mut number: u32) -> Vec<String> {
        let mut steps = Vec::new();
        while let (from, Some(act)) = &self.came[number as usize] {
            steps.push(act.to_string());
            number = *from;
        }
        steps.reverse();
        steps
    }
}

/// Explores until a law is broken or nothing new is found.
pub(crate) fn explore<M: Machine>(machine: &M) -> Outcome {
    let mut seen: Seen<M> = Seen {
        states: Vec::new(),
        came: Vec::new(),
        depth: Vec::new(),
        index: HashTable::new(),
        hasher: hashbrown::DefaultHashBuilder::default(),
    };
    // Only steps that need no fault, as (from, to).
    let mut calm: Vec<(u32, u32)> = Vec::new();
    let (mut states, mut at, mut steps) = (1, 0, Vec::new());
    seen.add(machine.first(), NONE, None);
    while at < seen.states.len() {
        let state = seen.states[at].clone();
        machine.next(&state, &mut steps);
        for (act, next) in steps.drain(..) {
            states += 1;
            let is_calm = machine.liveness().is_some() && machine.calm(&act);
            let (number, new) = seen.add(next, at as u32, Some(act));
            if is_calm {
                calm.push((at as u32, number));
            }
            let law = if new { machine.broken(&seen.states[number as usize]) } else { None };
            if let Some(law) = law {
                return outcome(&seen, states, Some(Broken { law, trace: seen.trace(number) }));
            }
        }
        at += 1;
    }
    let stuck = machine.liveness().and_then(|law| Some((law, stuck(machine, &seen, &calm)?)));
    let broken = stuck.map(|(law, number)| Broken { law, trace: seen.trace(number) });
    outcome(&seen, states, broken)
}

fn outcome<M: Machine>(seen: &Seen<M>, states: u64, broken: Option<Broken>) -> Outcome {
    Outcome { states, unique: seen.states.len(), depth: seen.depth.last().copied().unwrap_or(0), broken }
}

/// The first state from which no calm history leads to a settled one.
fn stuck<M: Machine>(machine: &M, seen: &Seen<M>, calm: &[(u32, u32)]) -> Option<u32> {
    // Steps by where they lead to: the predecessors of n are before[ends[n]..ends[n + 1]].
    let count = seen.states.len();
    let mut ends = vec![0_u32; count + 1];
    calm.iter().for_each(|(_, to)| ends[*to as usize + 1] += 1);
    (0..count).for_each(|number| ends[number + 1] += ends[number]);
    let (mut fill, mut before) = (ends.clone(), vec![0_u32; calm.len()]);
    for (from, to) in calm {
        let place = &mut fill[*to as usize];
        before[*place as usize] = *from;
        *place += 1;
    }
    let mut reaches: Vec<bool> = seen.states.iter().map(|state| machine.settled(state)).collect();
    let mut work: Vec<u32> = (0..count as u32).filter(|number| reaches[*number as usize]).collect();
    while let Some(number) = work.pop() {
        let range = ends[number as usize] as usize..ends[number as usize + 1] as usize;
        for from in &before[range] {
            if !std::mem::replace(&mut reaches[*from as usize], true) {
                work.push(*from);
            }
        }
    }
    reaches.iter().position(|reaches| !reaches).map(|number| number as u32)
}
