//! One step of the world, in words: who does what, where, and what goes wrong with it.

use crate::store::Fault;
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Act {
    /// A process, or `None` for the world outside.
    pub(crate) by: Option<u8>,
    pub(crate) what: &'static str,
    /// The slot, epoch or blob in question.
    pub(crate) at: u8,
    pub(crate) fault: Fault,
    /// False for what need not happen: faults, crashes, an operator's doing.
    pub(crate) calm: bool,
}

impl Act {
    pub(crate) fn of(process: usize, what: &'static str, at: u8) -> Act {
        Act { by: Some(process as u8), what, at, fault: Fault::None, calm: true }
    }

    pub(crate) fn with(self, fault: Fault) -> Act {
        Act { fault, calm: self.calm && fault == Fault::None, ..self }
    }

    /// Nobody counts on it.
    pub(crate) fn unforced(self) -> Act {
        Act { calm: false, ..self }
    }

    pub(crate) fn world(what: &'static str, at: u8) -> Act {
        Act { by: None, what, at, fault: Fault::None, calm: true }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.by {
            Some(process) => write!(f, "{}: ", char::from(b'A' + process))?,
            None => write!(f, "-: ")?,
        }
        write!(f, "{} {}", self.what, self.at)?;
        match self.fault {
            Fault::None => Ok(()),
            Fault::ReplyLost => write!(f, " (applied, the reply is lost)"),
            Fault::NotApplied => write!(f, " (not applied, an error comes back)"),
            Fault::Late => write!(f, " (an error comes back, and it is still under way)"),
            Fault::Twice => write!(f, " (applied, and under way a second time)"),
        }
    }
}
