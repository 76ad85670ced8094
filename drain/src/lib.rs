//! The drain machine: which pods leave, when, and how fast.
//!
//! [`next_actions`] is pure. It looks at one fleet as observed and says what to do now: replicas for each
//! revision's Deployment, marks on pods, calls to their servers. It keeps nothing between two calls: what
//! it must remember stands on the Pods, so a restarted operator, or another one, goes on where the last
//! one stopped, and an observation that is repeated or late leads to the same or to no action.
//!
//! The operator observes and carries out; the simulation does the same with a cluster in virtual time.

mod advance;
mod census;
mod decision;
mod deletion;
mod demand;
mod marks;
mod memory;
mod observed;
mod pace;
mod pacing;
mod room;
mod shrink;
mod start;
mod state;
mod summary;
mod take_back;
mod verify;
mod victims;

pub use decision::{Action, Decision, DrainProgress, Hold, Note, Shrink, Step, Summary};
pub use marks::{DrainMark, Marks};
pub use memory::Memory;
pub use observed::{
    Deletion, Fleet, NodeState, Observed, Pod, PodPhase, PodRef, Policy, Report, Revision, Rollout, Sockets,
};
pub use state::next_actions;
pub use verify::{Verifier, WrongVictims};
