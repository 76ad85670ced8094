//! Who may change things through the admin port.

use std::net::IpAddr;
use std::path::PathBuf;

use subtle::ConstantTimeEq;

/// Whom changing calls are taken from.
#[derive(Clone, Debug)]
pub enum Access {
    /// Whoever shows the token in this file. It is read at each call: a rotated Secret counts at once.
    Token(PathBuf),
    /// Anyone on this machine.
    Loopback,
}

/// Why a call was refused; the caller learns no more than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No token, or not ours.
    #[error("send the admin token as `Authorization: Bearer TOKEN`")]
    Token,
    /// There is no token here that could be compared.
    #[error("the server's admin token cannot be read")]
    Unreadable,
    /// From another machine, with no token configured.
    #[error("without adminTokenFile this is taken from the loopback interface only")]
    Remote,
}

impl Access {
    /// Judges a call from `peer` with the value of its `Authorization` header.
    ///
    /// # Errors
    /// [`Denied`] when the call must not be carried out.
    pub fn check(&self, peer: IpAddr, authorization: Option<&str>) -> Result<(), Denied> {
        match self {
            Self::Loopback if peer.to_canonical().is_loopback() => Ok(()),
            Self::Loopback => Err(Denied::Remote),
            Self::Token(file) => {
                let wanted = std::fs::read_to_string(file).map_err(|_| Denied::Unreadable)?;
                let wanted = wanted.trim();
                if wanted.is_empty() {
                    return Err(Denied::Unreadable);
                }
                let given = authorization.and_then(bearer).ok_or(Denied::Token)?;
                // In constant time: how much of a guess was right must not show in the answer's time.
                if bool::from(given.as_bytes().ct_eq(wanted.as_bytes())) {
                    Ok(())
                } else {
                    Err(Denied::Token)
                }
            }
        }
    }
}

/// The token of `Bearer TOKEN`; the scheme's case does not matter (RFC 9110, section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::Ipv4Addr;

    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const REMOTE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));

    #[test]
    fn without_a_token_only_this_machine_may() {
        assert_eq!(Access::Loopback.check(LOCAL, None), Ok(()));
        let mapped = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
        assert_eq!(Access::Loopback.check(mapped, None), Ok(()));
        assert_eq!(Access::Loopback.check(REMOTE, Some("Bearer x")), Err(Denied::Remote));
    }

    #[test]
    fn with_a_token_everyone_must_show_it() {
        let mut file = tempfile::NamedTempFile::new().expect("a file for the test");
        file.write_all(b"s3cret\n").expect("written");
        let access = Access::Token(file.path().into());
        assert_eq!(access.check(REMOTE, Some("Bearer s3cret")), Ok(()));
        assert_eq!(access.check(REMOTE, Some("bearer s3cret")), Ok(()));
        for wrong in
            [None, Some(""), Some("s3cret"), Some("Bearer "), Some("Bearer s3cre"), Some("Basic s3cret")]
        {
            assert_eq!(access.check(LOCAL, wrong), Err(Denied::Token), "{wrong:?}");
        }
    }

    #[test]
    fn a_rotated_token_counts_at_once() {
        let file = tempfile::NamedTempFile::new().expect("a file for the test");
        let access = Access::Token(file.path().into());
        assert_eq!(
            access.check(LOCAL, Some("Bearer ")),
            Err(Denied::Unreadable),
            "an empty token opens nothing"
        );
        std::fs::write(file.path(), "one").expect("written");
        assert_eq!(access.check(LOCAL, Some("Bearer one")), Ok(()));
        std::fs::write(file.path(), "two").expect("written");
        assert_eq!(access.check(LOCAL, Some("Bearer one")), Err(Denied::Token));
        assert_eq!(access.check(LOCAL, Some("Bearer two")), Ok(()));
    }

    #[test]
    fn a_token_that_is_gone_opens_nothing() {
        let access = Access::Token("/nowhere/token".into());
        assert_eq!(access.check(LOCAL, Some("Bearer x")), Err(Denied::Unreadable));
    }
}
