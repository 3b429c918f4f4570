//! What the system and the C library's allocator do with memory: how much of it stays when it is freed, and
//! in pages of which size.
//!
//! A leaf. Compiling a plugin takes up to hundreds of megabytes, now and then; by itself glibc
//! would keep most of them for good. With another C library [`settle`] and [`give_back`] do nothing.

/// Above this, memory is mapped by itself, and what is free at the end of a heap goes back.
/// glibc begins with 128 KiB and raises it to 64 MiB with what it sees.
#[cfg(target_env = "gnu")]
const THRESHOLD: i32 = 1024 * 1024;

/// Heaps besides the workers': the main thread's, and one that all that load plugins share. By itself
/// glibc makes up to eight for each core, and what is free in one is of no use to the others.
#[cfg(target_env = "gnu")]
const OTHER_HEAPS: usize = 2;

/// Keeps the thresholds where they are, and the number of heaps down to what so many workers need. To
/// be called before other threads start.
pub fn settle(workers: usize) {
    #[cfg(not(target_env = "gnu"))]
    let _ = workers;
    #[cfg(target_env = "gnu")]
    let heaps = i32::try_from(workers + OTHER_HEAPS).unwrap_or(i32::MAX);
    #[cfg(target_env = "gnu")]
    #[expect(
        unsafe_code,
        reason = "there is no other way to the C library's allocator"
    )]
    // SAFETY: they take two numbers, and change nothing but where memory comes from, and when it is
    // given back.
    unsafe {
        nix::libc::mallopt(nix::libc::M_MMAP_THRESHOLD, THRESHOLD);
        nix::libc::mallopt(nix::libc::M_TRIM_THRESHOLD, THRESHOLD);
        nix::libc::mallopt(nix::libc::M_ARENA_MAX, heaps);
    }
}

/// Gives back what is free in between.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    #[expect(
        unsafe_code,
        reason = "there is no other way to the C library's allocator"
    )]
    // SAFETY: it takes a number, and touches nothing but memory that is free, under the
    // allocator's own locks.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

/// Asks for huge pages under the capacity of `values`, before it is written to. Where memory is read at
/// random, as that of a large table is, finding a page otherwise takes as long as reading it.
pub fn prefer_huge_pages<T>(values: &Vec<T>) {
    /// Of x86-64, and of most others.
    const HUGE: usize = 2 << 20;
    let begin = values.as_ptr().cast::<u8>();
    let skipped = begin.align_offset(HUGE);
    let length = values.capacity() * size_of::<T>();
    let length = length.saturating_sub(skipped) / HUGE * HUGE;
    if length == 0 {
        return;
    }
    let begin = begin.wrapping_add(skipped).cast_mut().cast();
    #[expect(
        unsafe_code,
        reason = "there is no other way to the kernel's memory management"
    )]
    // SAFETY: these are whole pages of one allocation, and their contents stay as they are. Nothing depends
    // on the result: a kernel without huge pages refuses.
    unsafe {
        nix::libc::madvise(begin, length, nix::libc::MADV_HUGEPAGE);
    }
}
