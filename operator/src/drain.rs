//! The drain controller: which pods leave, when, and how fast.
//!
//! [`next_actions`] is pure. It looks at one fleet as observed and says what to do now: replicas for each
//! revision's Deployment, marks on pods, calls to their servers. It keeps nothing between two calls: what
//! it must remember stands on the Pods, so a restarted operator, or another one, goes on where the last
//! one stopped, and an observation that is repeated or late leads to the same or to no action.
//!
//! [`Executor`] carries the actions out. Replicas are applied by the fleet's own plan: there is one writer.

mod decision;
mod marks;
mod observed;

pub use decision::{Action, Decision, DrainProgress, Hold, Note, Shrink, Step, Summary};
pub use marks::{DrainMark, Marks};
pub use observed::{
    Deletion, Fleet, NodeState, Observed, Pod, PodPhase, PodRef, Policy, Revision, Rollout, Sockets,
};
