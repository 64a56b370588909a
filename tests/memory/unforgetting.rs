//! An allocator that forgets nothing: what is given back to it stays as it is.
//! With one that gives memory out again, it is luck whether a copy that nobody
//! wiped is still there to be found.
#![allow(unsafe_code, reason = "an allocator cannot do without")]

use std::alloc::{GlobalAlloc, Layout, System};

struct Unforgetting;

#[global_allocator]
static ALLOCATOR: Unforgetting = Unforgetting;

// SAFETY: memory is the system's, and never given out twice. A buffer that
// grows moves: `realloc` is the trait's own, which copies.
unsafe impl GlobalAlloc for Unforgetting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}
