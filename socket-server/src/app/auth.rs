//! Tokens: who a socket belongs to, and what it may do.

mod claims;
mod keys;
mod source;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::Deserialize;

pub use claims::{Claims, Grants, Permission};
use keys::Invalid;
pub use keys::Verifier;
pub use source::{KeySource, SetSource, open};

use super::USER_PREFIX;
use crate::adapter::Room;
use crate::io::{ConnectError, Namespace, Socket};

/// Member of `socket.data` with the user's name.
pub const USER: &str = "userId";
/// Member of `socket.data` with the [`Grants`].
const GRANTS: &str = "grants";

/// Lets only holders of a valid token into a namespace, those included that come back for their session: with the rights
/// of the token that they bring now.
pub fn require(namespace: &Namespace, verifier: Arc<Verifier>) {
    namespace.gate(move |socket: Socket| std::future::ready(admit(&socket, &verifier)));
    namespace.on_connection(|socket: Socket| {
        let own = user(&socket).map(|user| Room::from(user_room(&user)));
        if socket.recovered() {
            let rooms = socket.rooms();
            let same_user = match &own {
                Some(own) => rooms.contains(own),
                None => !rooms.iter().any(|room| room.starts_with(USER_PREFIX)),
            };
            if !same_user {
                socket.disconnect(false);
                return;
            }
            let grants = grants(&socket).unwrap_or_default();
            let of_clients = |room: &&Room| *room != socket.id() && !room.starts_with(USER_PREFIX);
            rooms.iter().filter(of_clients).filter(|r| !grants.covers(r)).for_each(|r| socket.leave(r));
        } else if let Some(own) = own {
            socket.join(own);
        }
        for room in grants(&socket).iter().flat_map(Grants::rooms_to_join) {
            socket.join(room);
        }
    });
}

/// The user of a socket, once its token was accepted.
pub fn user(socket: &Socket) -> Option<String> {
    socket.get_data(USER)?.as_str().map(str::to_owned)
}

/// The room of all sockets of a user.
pub fn user_room(user: &str) -> String {
    format!("{USER_PREFIX}{user}")
}

/// What a socket may do, once its token was accepted.
pub fn grants(socket: &Socket) -> Option<Grants> {
    serde_json::from_value(socket.get_data(GRANTS)?).ok()
}

fn admit(socket: &Socket, verifier: &Verifier) -> Result<(), ConnectError> {
    let refused = |invalid: Invalid| ConnectError::new(invalid.to_string());
    let token = token(socket).ok_or_else(|| refused(Invalid::Missing))?;
    let claims = verifier.verify(&token).map_err(refused)?;
    let grants = serde_json::to_value(Grants::of(&claims)).map_err(|_| refused(Invalid::Other))?;
    socket.set_data(GRANTS, grants);
    // Also that there is none: a session may have had one.
    socket.set_data(USER, claims.sub);
    Ok(())
}

/// From `auth: {token}`, else from the handshake's `Authorization` header.
fn token(socket: &Socket) -> Option<String> {
    #[derive(Deserialize)]
    struct Auth {
        token: String,
    }
    let sent = socket.auth::<Auth>().map(|auth| auth.token);
    sent.or_else(|| Some(socket.handshake().header("authorization")?.strip_prefix("Bearer ")?.to_owned()))
}
