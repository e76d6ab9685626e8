//! Sorting an index where it lies: by the first byte of the ids, then each of 256 parts by itself.
//!
//! Ids are hashes, so the parts are of one size, and each fits into a processor's cache.
//!
//! Cost: 0.1 to 0.2 µs a blob with one thread; no memory.
//!
//! Source: McIlroy, Bostic, McIlroy: Engineering Radix Sort, 1993 (American flag sort).

use std::sync::Mutex;

use super::Row;

/// Fewer rows than this are sorted at once by one thread.
const ROWS_MIN: usize = 4096;

/// Sorts `rows` with `threads`, after `change` was called on each of them; it leaves ids alone.
pub(super) fn by_id(rows: &mut [Row], threads: usize, change: impl Fn(&mut Row) + Sync) {
    if rows.len() < ROWS_MIN {
        return sort_part(rows, &change);
    }
    let parts = Mutex::new(split(rows));
    let work = || {
        loop {
            let part = parts
                .lock()
                .unwrap_or_else(|poison| poison.into_inner())
                .pop();
            match part {
                Some(part) => sort_part(part, &change),
                None => return,
            }
        }
    };
    std::thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(work)));
        work();
    });
}

fn sort_part(rows: &mut [Row], change: &impl Fn(&mut Row)) {
    rows.iter_mut().for_each(change);
    // Eight bytes nearly always decide; comparing them costs less than a call.
    rows.sort_unstable_by(|a, b| head(a).cmp(&head(b)).then_with(|| a.cmp(b)));
}

fn head(row: &Row) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = row.id.id().0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn first_byte(row: &Row) -> usize {
    usize::from(row.id.id().0[0])
}

/// Brings rows of one first byte together, in order of that byte; gives them apart.
fn split(mut rows: &mut [Row]) -> Vec<&mut [Row]> {
    let mut counts = [0; 256];
    rows.iter().for_each(|row| counts[first_byte(row)] += 1);
    let (mut heads, mut ends, mut start) = ([0; 256], [0; 256], 0);
    for byte in 0..256 {
        heads[byte] = start;
        start += counts[byte];
        ends[byte] = start;
    }
    for byte in 0..256 {
        while heads[byte] < ends[byte] {
            let belongs = first_byte(&rows[heads[byte]]);
            if belongs != byte {
                rows.swap(heads[byte], heads[belongs]);
            }
            heads[belongs] += 1;
        }
    }
    let mut parts = Vec::with_capacity(256);
    for count in counts {
        let part;
        (part, rows) = rows.split_at_mut(count);
        parts.push(part);
    }
    parts
}
