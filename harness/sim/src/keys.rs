//! Keys of hash maps, and tokio's own chance, by seed.
//!
//! Both come from the operating system: std asks `getrandom` once a thread for the keys of its hash maps, and tokio
//! makes the seed of a runtime (which ready branch of a `select!` goes first, whom a `watch` wakes first) with such a
//! map's hasher, out of a number that counts the runtimes of the process. So `getrandom` is ours in this program, and a
//! simulation has a thread of its own, and its process no other runtime before it.

use std::cell::Cell;
use std::ffi::{c_uint, c_void};

thread_local! {
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Does the work in a thread whose hash maps have keys by seed.
pub fn with_seed<T: Send>(seed: u64, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let seeded = scope.spawn(|| {
            SEED.set(Some(seed));
            work()
        });
        seeded.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// In place of libc's: the operating system's, save in a thread with a seed.
///
/// # Safety
/// As `getrandom(2)`: `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, flags: c_uint) -> isize {
    match SEED.get() {
        // SAFETY: the caller's promise is that of the system call.
        None => unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) as isize },
        Some(seed) => {
            // SAFETY: the caller promises room for `length` bytes, and they need not be initialised to be written.
            let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
            let mut rng = fastrand::Rng::with_seed(seed);
            rng.fill(bytes);
            SEED.set(Some(rng.u64(..)));
            length as isize
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasher, RandomState};

    #[test]
    fn keys_of_hash_maps_follow_from_the_seed() {
        let hash = || RandomState::new().hash_one(1);
        assert_eq!(with_seed(1, hash), with_seed(1, hash));
        assert_ne!(with_seed(1, hash), with_seed(2, hash));
    }
}
