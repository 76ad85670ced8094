use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::keys::{KeySet, Keys};
use super::*;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

const SECRET: &[u8] = b"a secret of tests, long enough for HS256";

fn verifier() -> Verifier {
    let keys = Keys::One(Box::new(DecodingKey::from_secret(SECRET)), Algorithm::HS256);
    Verifier::new(keys, None, None)
}

fn signed(claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET)).expect("signed")
}

#[test]
fn a_genuine_token_tells_its_claims() {
    let token = signed(&json!({"sub": "ada", "exp": now() + 60, "rooms": ["a"], "permissions": ["send"]}));
    let claims = verifier().verify(&token).expect("valid");
    assert_eq!(claims.sub.as_deref(), Some("ada"));
    assert_eq!(claims.permissions, Some(vec![Permission::Send]));
}

#[test]
fn what_is_not_genuine_or_not_in_force_is_refused() {
    let good = json!({"sub": "ada", "exp": now() + 60});
    let other = encode(&Header::default(), &good, &EncodingKey::from_secret(b"another")).expect("signed");
    let hs512 =
        encode(&Header::new(Algorithm::HS512), &good, &EncodingKey::from_secret(SECRET)).expect("signed");
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJleHAiOjk5OTk5OTk5OTl9.";
    for (token, why) in [
        (other.as_str(), Invalid::Other),
        (&hs512, Invalid::Other),
        (unsigned, Invalid::Other),
        ("", Invalid::Other),
        ("a.b.c", Invalid::Other),
        (&signed(&json!({"sub": "ada"})), Invalid::Other),
        (&signed(&json!({"exp": now() - 60})), Invalid::Expired),
        (&signed(&json!({"exp": now() + 60, "nbf": now() + 30})), Invalid::Other),
    ] {
        assert_eq!(verifier().verify(token), Err(why), "{token}");
    }
}

#[test]
fn issuer_and_audience_are_wanted_where_they_are_configured() {
    let keys = Keys::One(Box::new(DecodingKey::from_secret(SECRET)), Algorithm::HS256);
    let strict = Verifier::new(keys, Some("us".into()), Some("chat".into()));
    let exp = now() + 60;
    assert!(strict.verify(&signed(&json!({"exp": exp, "iss": "us", "aud": "chat"}))).is_ok());
    for claims in [
        json!({"exp": exp}),
        json!({"exp": exp, "iss": "us"}),
        json!({"exp": exp, "aud": "chat"}),
        json!({"exp": exp, "iss": "them", "aud": "chat"}),
    ] {
        assert_eq!(strict.verify(&signed(&claims)), Err(Invalid::Other), "{claims}");
    }
}

#[test]
fn a_set_of_public_keys_takes_no_shared_secret() {
    let set = Arc::new(KeySet::default());
    let verifier = Verifier::new(Keys::Set(set.clone()), None, None);
    let token = signed(&json!({"exp": now() + 60}));
    assert_eq!(verifier.verify(&token), Err(Invalid::NoKeys));
    let shared =
        json!({"keys": [{"kty": "oct", "k": "YSBzZWNyZXQgb2YgdGVzdHMsIGxvbmcgZW5vdWdoIGZvciBIUzI1Ng"}]});
    set.replace(shared.to_string().as_bytes()).expect("a JWKS");
    assert_eq!(verifier.verify(&token), Err(Invalid::Other));
    assert!(set.replace(b"not a JWKS").is_err());
}
