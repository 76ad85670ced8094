//! Users belong to shards: each fleet, or pod, takes only its own.

use md5::{Digest, Md5};
use serde_json::json;

use super::auth;
use crate::io::{ConnectError, Namespace, Socket};

/// Which shard of how many this server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Shard {
    /// From 0.
    pub index: u32,
    /// All of them, at least 1.
    pub count: u32,
}

impl Shard {
    /// The shard of a user: the first 8 hexadecimal digits of the name's MD5, modulo the number of shards.
    pub fn of(user: &str, count: u32) -> u32 {
        let digest = Md5::digest(user.as_bytes());
        u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) % count.max(1)
    }
}

/// Sends users of other shards there. Goes after [`auth::require`], where there is one.
pub fn require(namespace: &Namespace, own: Shard) {
    namespace.middleware(move |socket: Socket| std::future::ready(check(&socket, own)));
}

fn check(socket: &Socket, own: Shard) -> Result<(), ConnectError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Auth {
        user_id: String,
    }
    // Without tokens the client says itself who it is: this spreads load, it protects nothing.
    let user = auth::user(socket).or_else(|| socket.auth::<Auth>().map(|auth| auth.user_id));
    let Some(user) = user else {
        return Err(ConnectError::new("a user is required: connect with auth {userId}"));
    };
    match Shard::of(&user, own.count) {
        shard if shard == own.index => Ok(()),
        shard => {
            let message = format!("Please connect to shard {shard}");
            Err(ConnectError { message, data: Some(json!({ "shard": shard })) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Node: `parseInt(createHash("md5").update(user).digest("hex").slice(0, 8), 16) % count`.
    #[test]
    fn users_are_where_node_has_them() {
        for (user, count, shard) in
            [("user-1", 4, 3), ("user-2", 4, 0), ("ada", 7, 1), ("", 3, 1), ("Zoë", 1000, 579)]
        {
            assert_eq!(Shard::of(user, count), shard, "{user} of {count}");
        }
    }
}
