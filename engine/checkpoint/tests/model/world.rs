//! Everything that may happen next, put together for the checker.

use crate::act::Act;
use crate::config::{Config, SinkKind};
use crate::explore::Machine;
use crate::invariants::{Invariant, broken, settled};
use crate::state::{Flight, LINES, Log, Process, Sink, Stage, State};
use crate::{collect, owner, rewind, sink};
use std::sync::Arc;

impl Machine for Config {
    type State = State;
    type Act = Act;

    fn first(&self) -> State {
        let empty = Arc::new(Log::default());
        State {
            logs: [(); LINES].map(|()| empty.clone()),
            processes: vec![Process::default(); self.processes],
            sink: Sink::default(),
            flights: Vec::new(),
            faults: self.faults,
            crashes: self.crashes,
            rewinds: self.rewinds,
            restores: self.restores,
            restored: false,
            broken: 0,
        }
    }

    fn next(&self, state: &State, out: &mut Vec<(Act, State)>) {
        for (p, process) in state.processes.iter().enumerate() {
            if matches!(process.stage, Stage::Fenced | Stage::Alarm) {
                continue;
            }
            owner::steps(self, state, p, out);
            collect::steps(self, state, p, out);
            sink::steps(self, state, p, out);
            rewind::steps(state, p, out);
            if state.crashes > 0 && process.stage != Stage::Down {
                let mut next = state.clone();
                next.crashes -= 1;
                next.end(p, Stage::Down);
                out.push((Act::of(p, "crashes as incarnation", process.incarnation).unforced(), next));
            }
        }
        arrivals(self, state, out);
        if state.restores > 0 && self.sink != SinkKind::None {
            set_back(state, out);
        }
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        broken(self, state).map(name)
    }

    fn liveness(&self) -> Option<&'static str> {
        self.invariants.contains(&Invariant::I7).then(|| name(Invariant::I7))
    }

    fn settled(&self, state: &State) -> bool {
        settled(self, state)
    }

    fn calm(&self, act: &Act) -> bool {
        act.calm
    }
}

pub(crate) fn name(invariant: Invariant) -> &'static str {
    match invariant {
        Invariant::I1 => "I1",
        Invariant::I2 => "I2",
        Invariant::I3 => "I3",
        Invariant::I4 => "I4",
        Invariant::I5 => "I5",
        Invariant::I6 => "I6",
        Invariant::I7 => "I7",
        Invariant::NoFalseAlarm => "no false alarm",
    }
}

/// What is under way arrives, in any order and at any time.
fn arrivals(config: &Config, state: &State, out: &mut Vec<(Act, State)>) {
    for (place, flight) in state.flights.iter().enumerate() {
        let mut next = state.clone();
        next.flights.remove(place);
        let act = match *flight {
            Flight::Record { line, slot, record } => {
                next.create(line, slot, record);
                Act::world("a late create arrives at slot", slot)
            }
            Flight::Blob { line, blob } => {
                next.log(line).blobs &= !(1 << blob);
                Act::world("a late delete arrives at blob", blob)
            }
            Flight::Apply { after, .. } => {
                next.arrive(config, *flight);
                Act::world("a late apply arrives with epoch", after + 1)
            }
        };
        out.push((act, next));
    }
}

/// Somebody restores the sink from a backup: its newest epoch is gone, rows and cursor alike.
fn set_back(state: &State, out: &mut Vec<(Act, State)>) {
    let line = usize::from(state.sink.newest);
    let cursor = state.sink.cursor[line];
    if cursor > state.logs[line].base() {
        let mut next = state.clone();
        next.restores -= 1;
        next.restored = true;
        next.sink.rows[line][usize::from(cursor)] = 0;
        next.sink.cursor[line] = cursor - 1;
        out.push((Act::world("the sink is set back to epoch", cursor - 1).unforced(), next));
    }
}
