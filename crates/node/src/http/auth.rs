//! Who is calling: bearer tokens (RFC 6750, section 2.1) and the peer of the local socket.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use axum::http::{HeaderMap, header};
use fseg_api::{ApiError, ErrorCode, Role, Secret};
use ring::digest::{SHA256, digest};

use super::service::NodeService;

/// Who calls, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// A token's name; `root` or `local:UID` on the local socket. For the audit log.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

/// The far end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A process of this machine, by the unix socket; the kernel vouches for its user id (SO_PEERCRED).
    Local {
        /// Its user id.
        uid: u32,
    },
    /// Anybody who reached the TCP port.
    Remote(SocketAddr),
}

/// SHA-256 of a token's text: all that is ever stored. A plain hash suffices because tokens are 256 random bits, so
/// there is nothing to guess and no use in a slow hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// The hash of a token's text.
    pub fn of(token: &str) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(out)
    }
}

impl fmt::Display for TokenHash {
    /// 64 hexadecimal digits, as stored.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({self})")
    }
}

/// A stored text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a token hash (expected 64 hexadecimal digits)")]
pub struct TokenHashError;

impl FromStr for TokenHash {
    type Err = TokenHashError;
    fn from_str(s: &str) -> Result<Self, TokenHashError> {
        let digits = s.as_bytes();
        if digits.len() != 64 {
            return Err(TokenHashError);
        }
        let mut out = [0; 32];
        for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
            let nibble = |d: &u8| char::from(*d).to_digit(16).and_then(|n| u8::try_from(n).ok());
            *byte = pair.iter().try_fold(0, |n, d| Some((n << 4) | nibble(d)?)).ok_or(TokenHashError)?;
        }
        Ok(Self(out))
    }
}

/// A new token, 64 hexadecimal digits from the operating system's random numbers, and its hash.
pub fn new_token() -> Result<(Secret, TokenHash), ApiError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|e| ApiError::internal(format!("the operating system gave no random numbers: {e}")))?;
    let text = TokenHash(bytes).to_string();
    let hash = TokenHash::of(&text);
    Ok((Secret::new(text), hash))
}

/// Longer than any token: what is longer is not even hashed.
const LONGEST_TOKEN: usize = 256;

/// Finds out who sent this request. A token decides where there is one; without one the local socket's user does.
pub(super) async fn caller(service: &dyn NodeService, peer: Peer, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return local(peer).ok_or_else(|| {
            ApiError::new(ErrorCode::Unauthenticated, "no token was sent")
                .help("send `Authorization: Bearer TOKEN`; `fseg token create` makes one")
        });
    };
    let token = value.to_str().ok().and_then(|v| {
        let (scheme, token) = v.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let token = token
        .filter(|t| !t.is_empty() && t.len() <= LONGEST_TOKEN)
        .ok_or_else(|| ApiError::new(ErrorCode::Unauthenticated, "the Authorization header holds no bearer token"))?;
    service.authenticate(TokenHash::of(token)).await.ok_or_else(|| {
        ApiError::new(ErrorCode::Unauthenticated, "the token is unknown, revoked or expired")
            .help("an admin lists tokens with `fseg token list` and makes one with `fseg token create`")
    })
}

fn local(peer: Peer) -> Option<Caller> {
    match peer {
        Peer::Local { uid: 0 } => Some(Caller { name: "root".to_owned(), role: Role::Admin }),
        Peer::Local { uid } if uid == nix::unistd::geteuid().as_raw() => {
            Some(Caller { name: format!("local:{uid}"), role: Role::Admin })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_sha_256_and_round_trip() {
        // FIPS 180-2, appendix B.1.
        let hash = TokenHash::of("abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), text);
        assert_eq!(text.parse(), Ok(hash));
        for bad in ["", &text[1..], &format!("{text}0"), &text.replace('b', "g"), &"é".repeat(32)] {
            assert_eq!(bad.parse::<TokenHash>(), Err(TokenHashError), "{bad:?}");
        }
    }

    #[test]
    fn tokens_are_long_and_differ() {
        let (a, hash) = new_token().unwrap();
        let (b, _) = new_token().unwrap();
        assert_eq!(a.expose().len(), 64);
        assert_ne!(a.expose(), b.expose());
        assert_eq!(hash, TokenHash::of(a.expose()));
    }

    #[test]
    fn only_root_and_the_daemons_user_are_local_admins() {
        let own = nix::unistd::geteuid().as_raw();
        assert_eq!(local(Peer::Local { uid: 0 }).unwrap().role, Role::Admin);
        assert_eq!(local(Peer::Local { uid: own }).unwrap().role, Role::Admin);
        assert_eq!(local(Peer::Local { uid: own + 1 }), None);
        assert_eq!(local(Peer::Remote(([127, 0, 0, 1], 9).into())), None);
    }
}
