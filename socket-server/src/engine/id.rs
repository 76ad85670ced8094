//! Random ids of 20 characters, as in Node: 15 bytes in base64url.

use std::cell::RefCell;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytestring::ByteString;

/// Characters of an id.
pub const ID_LEN: usize = 20;
const RAW_LEN: usize = 15;
const RANDOM_LEN: usize = 11;

/// Id of an engine connection: 88 random bits, then the connection's slot, so that looking it up needs no table.
/// It is a secret of the client's.
pub type Sid = [u8; ID_LEN];

struct Pool {
    bytes: [u8; 512],
    left: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; 512], left: 0 }) };
}

/// `N` bytes from the system's generator, fetched in larger pieces.
///
/// # Panics
/// When the operating system has no randomness to give: no id would be a secret then.
fn random<const N: usize>() -> [u8; N] {
    POOL.with_borrow_mut(|pool| {
        if pool.left < N {
            #[allow(clippy::expect_used)]
            getrandom::fill(&mut pool.bytes).expect("the system's random generator works");
            pool.left = pool.bytes.len();
        }
        let mut taken = [0; N];
        taken.copy_from_slice(&pool.bytes[pool.left - N..pool.left]);
        pool.bytes[pool.left - N..pool.left].fill(0);
        pool.left -= N;
        taken
    })
}

fn encode(raw: [u8; RAW_LEN]) -> Sid {
    let mut id = [0; ID_LEN];
    // 15 bytes are exactly 20 characters: the slice always fits.
    let _ = URL_SAFE_NO_PAD.encode_slice(raw, &mut id);
    id
}

/// A new engine id for the connection in `slot`.
pub fn new_sid(slot: u32) -> Sid {
    let mut raw = [0; RAW_LEN];
    raw[..RANDOM_LEN].copy_from_slice(&random::<RANDOM_LEN>());
    raw[RANDOM_LEN..].copy_from_slice(&slot.to_be_bytes());
    encode(raw)
}

/// The slot that an id names; `None` for what cannot be an id of ours.
pub fn slot_of(sid: &str) -> Option<u32> {
    let mut raw = [0; RAW_LEN];
    let len = (sid.len() == ID_LEN).then(|| URL_SAFE_NO_PAD.decode_slice(sid, &mut raw).ok())??;
    (len == RAW_LEN).then(|| u32::from_be_bytes([raw[11], raw[12], raw[13], raw[14]]))
}

/// A new id of a socket, shown to peers, or of a session.
pub fn new_id() -> ByteString {
    let id = encode(random::<RAW_LEN>());
    ByteString::from(std::str::from_utf8(&id).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_id_names_its_slot() {
        for slot in [0, 1, 77, u32::MAX] {
            let sid = new_sid(slot);
            assert_eq!(slot_of(std::str::from_utf8(&sid).unwrap()), Some(slot));
        }
        for bad in ["", "short", "####################", "aaaaaaaaaaaaaaaaaaaaa"] {
            assert_eq!(slot_of(bad), None);
        }
    }

    #[test]
    fn ids_are_20_characters_and_differ() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| new_id()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == ID_LEN));
    }
}
