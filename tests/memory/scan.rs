//! A search through all memory of this process (proc(5)).

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use crate::marks::Mark;

const PIECE: usize = 1 << 20;

/// Counts how often each mark occurs in memory, except for the buffer of this search.
pub(crate) fn count(marks: &[&Mark]) -> Vec<usize> {
    let memory = File::open("/proc/self/mem").expect("this process's memory");
    let overlap = marks.iter().map(|mark| mark.len()).max().unwrap_or(1) - 1;
    let mut buffer = vec![0; PIECE + overlap];
    let own = buffer.as_ptr().addr()..buffer.as_ptr().addr() + buffer.len();
    let mut counts = vec![0; marks.len()];
    for (start, end) in regions() {
        let mut at = start;
        while at < end {
            let next = end.min(at + PIECE);
            let until = end.min(next + overlap);
            let piece = &mut buffer[..until - at];
            // Some pages cannot be read: those of the kernel's clock, for example.
            if memory.read_exact_at(piece, at as u64).is_ok() {
                for (mark, count) in marks.iter().zip(&mut counts) {
                    *count += outside(mark, piece, at, next, &own);
                }
            }
            at = next;
        }
    }
    // A later search must not find what this one read.
    buffer.fill(0);
    std::hint::black_box(&buffer);
    counts
}

/// Counts the marks that begin in `at..next`, outside of the search's own buffer.
fn outside(
    mark: &Mark,
    piece: &[u8],
    at: usize,
    next: usize,
    own: &std::ops::Range<usize>,
) -> usize {
    let end = piece.len().min(next - at + mark.len() - 1);
    let part = |from: usize, to: usize| {
        let (from, to) = (from.clamp(at, at + end), to.clamp(at, at + end));
        if from < to {
            mark.count(&piece[from - at..to - at])
        } else {
            0
        }
    };
    part(at, own.start) + part(own.end, at + end)
}

/// Returns the readable regions.
fn regions() -> Vec<(usize, usize)> {
    let maps = fs::read_to_string("/proc/self/maps").expect("this process's regions");
    let regions = maps.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        words.next()?.starts_with('r').then_some(())?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        Some((number(start)?, number(end)?))
    });
    regions.collect()
}
