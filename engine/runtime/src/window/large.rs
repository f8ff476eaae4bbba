//! Large pieces of memory that are read here and there: huge pages are asked for, without which most reads wait for the page
//! table, too.
//!
//! Only where a piece is large: small slices would take more memory than they need. A system that does not give any is as good, but
//! slower.

/// From so many bytes on: some huge pages.
const LARGE: usize = 8 << 20;
#[cfg(target_os = "linux")]
const PAGE: usize = 4096;

/// Words that are all zero. Memory is given where something is written.
pub(super) fn zeroed(words: usize) -> Vec<u64> {
    let mut zeroed = vec![0; words];
    advise(&mut zeroed);
    zeroed
}

/// Room for so many words. Memory is given where something is written.
pub(super) fn room(words: usize) -> Vec<u64> {
    let mut room = Vec::with_capacity(words);
    advise(&mut room);
    room
}

#[cfg(target_os = "linux")]
fn advise(words: &mut Vec<u64>) {
    let bytes = words.capacity() * size_of::<u64>();
    if bytes < LARGE {
        return;
    }
    let start = words.as_mut_ptr().cast::<u8>();
    // Whole pages only, which are nobody else's.
    let skipped = start.align_offset(PAGE);
    let Some(length) = bytes.checked_sub(skipped).map(|length| length / PAGE * PAGE) else { return };
    // SAFETY: the range lies within the allocation, and the advice changes no contents. Whether it is taken does not matter.
    unsafe { libc::madvise(start.add(skipped).cast(), length, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise(_: &mut Vec<u64>) {}
