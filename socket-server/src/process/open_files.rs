//! The limit of open files: each socket is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are not sockets of clients: listeners, Redis, admin connections, logs, the runtime's own.
const OTHER_FILES: u64 = 256;

/// Raises the soft limit to the hard one and returns what is allowed now; `None` means without limit.
pub fn raise_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        // It was only to become better: the caller judges what there is.
        Err(_) => current,
    }
}

/// What to tell the operator of a server that wants `max_connections` and may open `limit` files.
pub fn shortage(limit: Option<u64>, max_connections: u32) -> Option<String> {
    let limit = limit?;
    let wanted = u64::from(max_connections) + OTHER_FILES;
    (limit < wanted).then(|| {
        format!(
            "open files are limited to {limit}, too few for maxConnections {max_connections}: \
             raise the hard limit to {wanted} (ulimit -Hn, LimitNOFILE) or set maxConnections to {}",
            limit.saturating_sub(OTHER_FILES)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_too_low_and_what_would_do() {
        let said = shortage(Some(1_024), 10_000).expect("1,024 files are too few");
        assert!(said.contains("raise the hard limit to 10256"), "{said}");
        assert!(said.contains("maxConnections to 768"), "{said}");
    }

    #[test]
    fn is_content_with_enough() {
        assert_eq!(shortage(Some(10_256), 10_000), None);
        assert_eq!(shortage(None, u32::MAX), None);
    }

    #[test]
    fn soft_becomes_hard() {
        let allowed = raise_limit();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!((current, allowed), (maximum, maximum));
    }
}
