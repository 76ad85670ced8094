//! Names that clients may give to rooms.

/// Longest name, in bytes: it is kept for each room and each member.
const LONGEST: usize = 256;
/// The rooms of a user's sockets; only the server puts sockets there.
pub const USER_PREFIX: &str = "user:";

/// Why a name is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotARoom {
    /// Nothing, or too much.
    #[error("a room's name has 1 to {LONGEST} bytes")]
    Length,
    /// The server's own.
    #[error("rooms that begin with {USER_PREFIX} belong to the server")]
    Reserved,
}

/// Whether clients may use a name.
///
/// # Errors
/// [`NotARoom`] with what is wrong with it.
pub fn check(name: &str) -> Result<(), NotARoom> {
    if name.is_empty() || name.len() > LONGEST {
        Err(NotARoom::Length)
    } else if name.starts_with(USER_PREFIX) {
        Err(NotARoom::Reserved)
    } else {
        Ok(())
    }
}
