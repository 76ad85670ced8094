//! Applications that need no code.

mod echo;
mod room_name;
mod rooms;

pub use echo::echo;
pub use rooms::rooms;
