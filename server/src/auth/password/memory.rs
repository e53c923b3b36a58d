//! The memory that a hash is computed in.
//!
//! It is mapped straight from the system, and given back when this is dropped. From the allocator it would not come
//! back: glibc takes blocks of this size from the heap of whatever thread asks, once one of them has been freed, and
//! then keeps tens of megabytes for each of its heaps.

use argon2::Block;
use std::ptr::{self, NonNull};

/// Nothing at first. Fit to be used for one hash after the other.
#[derive(Debug, Default)]
pub struct Memory(Option<Mapping>);

#[derive(Debug)]
struct Mapping {
    start: NonNull<Block>,
    blocks: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread, and this is its only owner.
unsafe impl Send for Mapping {}

impl Memory {
    /// So many blocks with whatever was left in them; `None` if the system has no memory left.
    pub fn blocks(&mut self, count: usize) -> Option<&mut [Block]> {
        if self.0.as_ref().is_none_or(|mapping| mapping.blocks < count) {
            // The old one first: never both at once.
            self.0 = None;
            self.0 = Some(Mapping::new(count)?);
        }
        let mapping = self.0.as_mut()?;
        // SAFETY: the mapping is that long or longer, ours alone as long as `self` is borrowed, and any bytes are a
        // block.
        Some(unsafe { std::slice::from_raw_parts_mut(mapping.start.as_ptr(), count) })
    }
}

impl Mapping {
    fn new(blocks: usize) -> Option<Self> {
        let bytes = blocks.checked_mul(size_of::<Block>()).filter(|bytes| *bytes > 0)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new private mapping at no address in particular touches no memory that is there already.
        let start =
            unsafe { libc::mmap(ptr::null_mut(), bytes, protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
        if start == libc::MAP_FAILED {
            return None;
        }
        // Mappings begin with a page, which is more than a block asks for.
        Some(Mapping { start: NonNull::new(start.cast())?, blocks })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is exactly what was mapped, and nobody can refer to it any more.
        let result = unsafe { libc::munmap(self.start.as_ptr().cast(), self.blocks * size_of::<Block>()) };
        if result != 0 {
            tracing::error!(error = %std::io::Error::last_os_error(), "cannot give memory back");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_can_be_written_and_used_again() {
        let mut memory = Memory::default();
        for count in [1, 8, 3, 9] {
            let blocks = memory.blocks(count).expect("a few kilobytes");
            assert_eq!(blocks.len(), count);
            blocks.fill(Block::default());
        }
    }

    #[test]
    fn impossible_sizes_are_refused() {
        assert!(Memory::default().blocks(0).is_none());
        assert!(Memory::default().blocks(usize::MAX).is_none());
        assert!(Memory::default().blocks(usize::MAX / size_of::<Block>()).is_none());
    }
}
