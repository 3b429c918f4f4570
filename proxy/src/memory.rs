//! Settings of the C library's allocator and of the kernel: how much freed memory is kept, and the
//! size of pages.
//!
//! A leaf. Compiling a plugin uses up to hundreds of megabytes for a short time. Without these
//! settings, glibc would keep most of that memory forever. With another C library,
//! [`configure_allocator`] and [`give_back`] do nothing.

/// Threshold in bytes. An allocation above this size gets its own mapping. More free memory than
/// this at the end of a heap is returned to the system. By default, glibc starts with 128 KiB and
/// raises the threshold to as much as 64 MiB, depending on the program's allocations.
#[cfg(target_env = "gnu")]
const THRESHOLD: i32 = 1024 * 1024;

/// Number of heaps in addition to the workers' heaps: one for the main thread, and one shared by
/// all threads that load plugins. By default, glibc creates up to eight heaps for each core, and
/// one heap cannot use the free memory of another.
#[cfg(target_env = "gnu")]
const OTHER_HEAPS: usize = 2;

/// Sets fixed thresholds, and limits the number of heaps to what `workers` workers need. Must be
/// called before other threads start.
pub fn configure_allocator(workers: usize) {
    #[cfg(not(target_env = "gnu"))]
    let _ = workers;
    #[cfg(target_env = "gnu")]
    let heaps = i32::try_from(workers + OTHER_HEAPS).unwrap_or(i32::MAX);
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "no safe API controls the C library's allocator")]
    // SAFETY: these calls take only numbers. They only change where memory comes from and when it
    // is returned.
    unsafe {
        nix::libc::mallopt(nix::libc::M_MMAP_THRESHOLD, THRESHOLD);
        nix::libc::mallopt(nix::libc::M_TRIM_THRESHOLD, THRESHOLD);
        nix::libc::mallopt(nix::libc::M_ARENA_MAX, heaps);
    }
}

/// Returns free memory of all heaps to the system.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "no safe API controls the C library's allocator")]
    // SAFETY: the call takes only a number. It touches only free memory, under the allocator's own
    // locks.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

/// Requests huge pages for the capacity of `values`. Must be called before the memory is written.
/// For random reads, as in a large table, looking up the address of a small page takes as long as
/// the read itself.
pub fn prefer_huge_pages<T>(values: &Vec<T>) {
    /// Size of a huge page on x86-64 and most other platforms.
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
        reason = "no safe API controls the kernel's memory management"
    )]
    // SAFETY: these are whole pages of one allocation, and their contents do not change. Nothing
    // depends on the result: a kernel without huge pages returns an error.
    unsafe {
        nix::libc::madvise(begin, length, nix::libc::MADV_HUGEPAGE);
    }
}
