//! An allocator that never reuses memory, so freed memory keeps its contents. With
//! another allocator it would be chance whether a copy that was not wiped is found.
#![allow(unsafe_code, reason = "an allocator needs it")]

use std::alloc::{GlobalAlloc, Layout, System};

struct NeverFreeing;

#[global_allocator]
static ALLOCATOR: NeverFreeing = NeverFreeing;

// SAFETY: memory comes from the system and is never reused. A buffer that grows moves:
// `realloc` is the trait's own, which copies.
unsafe impl GlobalAlloc for NeverFreeing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}
