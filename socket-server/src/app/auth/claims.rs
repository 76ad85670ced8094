//! What a token says about its holder.

use serde::{Deserialize, Serialize};

/// The claims that are read; others are the application's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: Option<String>,
    /// Rooms that the user's sockets join at connect, and the only ones that they may use. A name that ends in
    /// `*` stands for all that begin so, and is not joined. Absent: any room.
    pub rooms: Option<Vec<String>>,
    /// What the user may do. Absent: everything.
    pub permissions: Option<Vec<Permission>>,
    /// When the token ends, Unix seconds.
    pub exp: u64,
}

/// Something that a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Join and leave rooms.
    Join,
    /// Send to rooms.
    Send,
}

/// What a socket may do, kept with its session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rooms: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    permissions: Option<Vec<Permission>>,
}

impl Grants {
    /// What these claims grant.
    pub fn of(claims: &Claims) -> Self {
        Self { rooms: claims.rooms.clone(), permissions: claims.permissions.clone() }
    }

    /// Whether this may be done in a room.
    pub fn allow(&self, permission: Permission, room: &str) -> bool {
        self.permissions.as_ref().is_none_or(|permissions| permissions.contains(&permission))
            && self.covers(room)
    }

    /// Whether a room is among those that the user may use.
    pub fn covers(&self, room: &str) -> bool {
        self.rooms.as_ref().is_none_or(|rooms| rooms.iter().any(|pattern| fits(pattern, room)))
    }

    /// The rooms to join at connect.
    pub fn rooms_to_join(&self) -> impl Iterator<Item = &str> {
        self.rooms.iter().flatten().map(String::as_str).filter(|room| !room.ends_with('*'))
    }
}

fn fits(pattern: &str, room: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => room.starts_with(beginning),
        None => pattern == room,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(json: &str) -> Grants {
        Grants::of(&serde_json::from_str(json).expect("claims"))
    }

    #[test]
    fn a_token_without_rooms_and_permissions_grants_everything() {
        let all = grants(r#"{"sub":"ada","exp":1}"#);
        assert!(all.allow(Permission::Join, "a") && all.allow(Permission::Send, "b"));
        assert_eq!(all.rooms_to_join().count(), 0);
    }

    #[test]
    fn rooms_limit_by_name_and_by_beginning() {
        let some = grants(r#"{"exp":1,"rooms":["lobby","team-*"]}"#);
        for (room, allowed) in
            [("lobby", true), ("lobby2", false), ("team-", true), ("team-7", true), ("x", false)]
        {
            assert_eq!(some.allow(Permission::Send, room), allowed, "{room}");
        }
        assert_eq!(some.rooms_to_join().collect::<Vec<_>>(), ["lobby"]);
    }

    #[test]
    fn permissions_limit_what_is_done() {
        let reader = grants(r#"{"exp":1,"permissions":["join"]}"#);
        assert!(reader.allow(Permission::Join, "a") && !reader.allow(Permission::Send, "a"));
        let nobody = grants(r#"{"exp":1,"rooms":[],"permissions":[]}"#);
        assert!(!nobody.allow(Permission::Join, "a"));
    }

    #[test]
    fn a_permission_that_is_unknown_spoils_the_token() {
        assert!(serde_json::from_str::<Claims>(r#"{"exp":1,"permissions":["fly"]}"#).is_err());
    }
}
