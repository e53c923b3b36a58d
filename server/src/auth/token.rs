//! Login tokens: a reconnecting client proves who it is without the cost of a password check.
//!
//! A token is stateless: user, generation and expiry, with an HMAC-SHA256 over them and the user's password hash, under
//! a key that all nodes share. A changed password or a bumped generation therefore ends it everywhere at once, and
//! nothing has to be stored. Clients treat it as opaque text. [`parse`] reads what a token claims, so that the caller
//! can look up the account; only [`check`] says whether the claim is true.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chat_protocol::conversation::{MAX_ID, UserId};
use chat_protocol::message::{Secret, TimeMs};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The cluster's secret. Whoever has it can log in as anybody; it never appears in a log.
#[derive(Clone)]
pub struct TokenKey(pub [u8; 32]);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(***)")
    }
}

/// What a token says of itself, not yet to be believed.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenClaims {
    pub user: UserId,
    /// The `token_generation` of the account as of the issue.
    pub generation: u64,
    /// Milliseconds since the Unix epoch.
    pub expires_at: TimeMs,
    mac: [u8; MAC_BYTES],
}

impl std::fmt::Debug for TokenClaims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let TokenClaims { user, generation, expires_at, mac: _ } = self;
        write!(f, "TokenClaims {{ user: {user}, generation: {generation}, expires_at: {expires_at} }}")
    }
}

/// Set apart from any later layout, so that a token of one is never read as the other.
const LAYOUT: u8 = 1;
/// The layout byte and three big-endian numbers.
const PAYLOAD_BYTES: usize = 1 + 8 + 8 + 8;
const MAC_BYTES: usize = 32;
const TOKEN_BYTES: usize = PAYLOAD_BYTES + MAC_BYTES;
/// Every token has this many characters; other texts are not looked at.
pub const TOKEN_CHARACTERS: usize = TOKEN_BYTES * 4 / 3;

/// Makes a token for `user` that [`check`] accepts before `expires_at` while the account's generation and password hash
/// stay as given.
pub fn issue(key: &TokenKey, user: UserId, generation: u64, password_phc: &str, expires_at: TimeMs) -> Secret {
    let payload = payload(user, generation, expires_at);
    let mac: [u8; MAC_BYTES] = keyed(key, &payload, password_phc).finalize().into_bytes().into();
    Secret(URL_SAFE_NO_PAD.encode([payload.as_slice(), &mac].concat()))
}

/// Reads what a token claims; `None` if it is not one.
pub fn parse(token: &str) -> Option<TokenClaims> {
    if token.len() != TOKEN_CHARACTERS {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (layout, rest) = bytes.split_first()?;
    let (user, rest) = rest.split_first_chunk::<8>()?;
    let (generation, rest) = rest.split_first_chunk::<8>()?;
    let (expires_at, rest) = rest.split_first_chunk::<8>()?;
    let user = UserId::from_be_bytes(*user);
    if *layout != LAYOUT || !(1..MAX_ID).contains(&user) {
        return None;
    }
    Some(TokenClaims {
        user,
        generation: u64::from_be_bytes(*generation),
        expires_at: TimeMs::from_be_bytes(*expires_at),
        mac: rest.try_into().ok()?,
    })
}

/// Whether the claims are ours and were made for this password hash; constant time. Says nothing of expiry or
/// generation: logins use [`check`].
pub fn verify(key: &TokenKey, claims: &TokenClaims, password_phc: &str) -> bool {
    let payload = payload(claims.user, claims.generation, claims.expires_at);
    keyed(key, &payload, password_phc).verify_slice(&claims.mac).is_ok()
}

/// Whether the token is good for the account of `claims.user`, whose generation and password hash are given.
pub fn check(key: &TokenKey, claims: &TokenClaims, generation: u64, password_phc: &str, now: TimeMs) -> bool {
    verify(key, claims, password_phc) && claims.generation == generation && now < claims.expires_at
}

fn payload(user: UserId, generation: u64, expires_at: TimeMs) -> [u8; PAYLOAD_BYTES] {
    let mut payload = [LAYOUT; PAYLOAD_BYTES];
    payload[1..9].copy_from_slice(&user.to_be_bytes());
    payload[9..17].copy_from_slice(&generation.to_be_bytes());
    payload[17..25].copy_from_slice(&expires_at.to_be_bytes());
    payload
}

/// The payload's length is fixed, so payload and hash cannot run into each other.
fn keyed(key: &TokenKey, payload: &[u8; PAYLOAD_BYTES], password_phc: &str) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(&key.0)
        .expect("HMAC takes a key of any length")
        .chain_update(payload)
        .chain_update(password_phc)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: TokenKey = TokenKey([7; 32]);
    const PHC: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo";
    const EXPIRES: TimeMs = 1_800_000_000_000;

    fn claims(token: &Secret) -> TokenClaims {
        parse(&token.0).expect("a token that was issued parses")
    }

    #[test]
    fn an_issued_token_is_accepted_until_it_expires() {
        let token = issue(&KEY, 42, 3, PHC, EXPIRES);

        let claims = claims(&token);

        assert_eq!((claims.user, claims.generation, claims.expires_at), (42, 3, EXPIRES));
        assert!(check(&KEY, &claims, 3, PHC, EXPIRES - 1));
        assert!(!check(&KEY, &claims, 3, PHC, EXPIRES));
        assert_eq!(token.0.len(), TOKEN_CHARACTERS);
        assert!(token.0.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
    }

    #[test]
    fn a_new_password_generation_or_key_ends_it() {
        let claims = claims(&issue(&KEY, 42, 3, PHC, EXPIRES));

        assert!(!check(&KEY, &claims, 3, &PHC.replace("t=1", "t=2"), 0));
        assert!(!check(&KEY, &claims, 4, PHC, 0));
        assert!(!check(&TokenKey([8; 32]), &claims, 3, PHC, 0));
    }

    #[test]
    fn raising_a_claim_breaks_the_token() {
        let claims = claims(&issue(&KEY, 42, 3, PHC, EXPIRES));

        for forged in [
            TokenClaims { user: 43, ..claims.clone() },
            TokenClaims { generation: 4, ..claims.clone() },
            TokenClaims { expires_at: EXPIRES + 1, ..claims.clone() },
        ] {
            assert!(!check(&KEY, &forged, forged.generation, PHC, 0), "{forged:?}");
        }
    }

    #[test]
    fn what_is_not_a_token_is_not_parsed() {
        let good = issue(&KEY, 42, 3, PHC, EXPIRES).0;
        let other_layout = format!("Ag{}", &good[2..]);
        for text in ["", "x", &good[1..], &format!("{good}A"), &good.replace('A', "="), &other_layout] {
            assert_eq!(parse(text), None, "{text}");
        }
        for user in [0, MAX_ID, u64::MAX] {
            assert_eq!(parse(&issue(&KEY, user, 3, PHC, EXPIRES).0), None);
        }
    }

    #[test]
    fn neither_key_nor_mac_shows_in_debug_output() {
        let token = issue(&KEY, 42, 3, PHC, EXPIRES);

        assert_eq!(format!("{KEY:?} {token:?}"), "TokenKey(***) ***");
        assert!(!format!("{:?}", claims(&token)).contains("mac"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,100}", characters in "[A-Za-z0-9_-]{76}") {
            parse(&text);
            if let Some(claims) = parse(&characters) {
                prop_assert!(!verify(&KEY, &claims, PHC));
            }
        }

        #[test]
        fn changing_any_one_character_ends_it(at in 0..TOKEN_CHARACTERS, to in "[A-Za-z0-9_-]") {
            let token = issue(&KEY, 42, 3, PHC, EXPIRES).0;
            let mut changed = token.clone();
            changed.replace_range(at..=at, &to);
            prop_assume!(changed != token);
            prop_assert!(!parse(&changed).is_some_and(|claims| check(&KEY, &claims, claims.generation, PHC, 0)));
        }
    }
}
