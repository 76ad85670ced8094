//! Drains: the [machine](socketfleet_drain) decides, [`observe`] gives it the pods, [`Executor`] carries its actions out.
//! Replicas are applied by the fleet's own plan: there is one writer.

mod admin;
mod execute;
pub mod observe;

pub use admin::CallError;
pub use execute::{Executed, Executor, StepError};
pub use socketfleet_drain::*;
