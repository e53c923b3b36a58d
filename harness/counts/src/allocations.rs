//! How often memory is asked for.

use crate::{ROUNDS, hot_paths};
use anyhow::Result;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread how often it is asked for memory, or for more of it.
pub struct Counting;

fn count_one() {
    ASKED.with(|asked| asked.set(asked.get() + 1));
}

// SAFETY: everything is passed on to the system's allocator as it came; the count is a number of the thread's own that
// needs no memory from here.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: as promised by the caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count_one();
        // SAFETY: as promised by the caller.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// In all of the rounds of a hot path.
pub fn of(name: &str) -> Result<u64> {
    let mut allocations = 0;
    hot_paths::run(name, &mut |operation| {
        let before = ASKED.get();
        (0..ROUNDS).for_each(|_| operation());
        allocations = ASKED.get() - before;
    })?;
    Ok(allocations)
}
