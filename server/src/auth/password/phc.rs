//! Hashes in PHC format (`$argon2id$v=19$...`): made, read, and compared with a password.

use super::memory::Memory;
use crate::config::{MAX_ITERATIONS, MAX_MEMORY_KIB};
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, Version};
use chat_protocol::message::Secret;

/// The most lanes that a hash from the database may ask for; beyond it no password matches. Ours have one.
const MAX_LANES: u32 = 16;

/// What `argon2` makes of a password, with its own parameters. `None`: no memory left.
pub(super) fn output(memory: &mut Memory, argon2: &Argon2<'_>, password: &Secret, salt: &[u8]) -> Option<Output> {
    let params = argon2.params();
    let mut buffer = [0; Output::MAX_LENGTH];
    let out = buffer.get_mut(..params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN))?;
    let blocks = memory.blocks(params.block_count())?;
    argon2.hash_password_into_with_memory(password.0.as_bytes(), salt, out, blocks).ok()?;
    Output::new(out).ok()
}

/// A hash in PHC format.
pub(super) fn hash_in(memory: &mut Memory, argon2: &Argon2<'_>, password: &Secret, salt: &[u8]) -> Option<String> {
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(argon2.params()).ok()?,
        salt: Some(Salt::new(salt).ok()?),
        hash: Some(output(memory, argon2, password, salt)?),
    };
    Some(hash.to_string())
}

/// Whether the password is the one of a hash that [`read`] let pass. Outputs are compared in constant time.
pub(super) fn matches(memory: &mut Memory, password: &Secret, stored: &PasswordHash) -> Option<bool> {
    let algorithm = Algorithm::new(stored.algorithm).ok()?;
    let version = stored.version.map(Version::try_from).transpose().ok()?.unwrap_or_default();
    let argon2 = Argon2::new(algorithm, version, Params::try_from(stored).ok()?);
    Some(output(memory, &argon2, password, stored.salt.as_deref()?)? == stored.hash?)
}

/// A stored hash, if it is one that can be checked at a sane price.
pub(super) fn read(phc: &str) -> Option<PasswordHash> {
    let refuse = |reason: String| tracing::error!(reason, "a stored password hash cannot be used");
    let hash = PasswordHash::new(phc).map_err(|error| refuse(error.to_string())).ok()?;
    if hash.salt.is_none() || hash.hash.is_none() {
        refuse("incomplete".into());
        return None;
    }
    let params = Params::try_from(&hash).map_err(|error| refuse(error.to_string())).ok()?;
    if params.m_cost() > MAX_MEMORY_KIB || params.t_cost() > MAX_ITERATIONS || params.p_cost() > MAX_LANES {
        refuse(format!("m={}, t={}, p={} is too much", params.m_cost(), params.t_cost(), params.p_cost()));
        return None;
    }
    Some(hash)
}
