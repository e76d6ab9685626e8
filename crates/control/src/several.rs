//! Several machines at the same time, within a limit.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use lifeboat_model::CancelToken;

/// What became of each, in the order of the list; nothing for those that were not begun.
pub type Each<T> = Vec<Option<T>>;

/// Does `work` with every one of `list`, at most `parallel` at the same time, in their order.
///
/// When the run is asked to stop, no more are begun.
pub fn each<'a, I: Sync, T: Send>(
    list: &'a [I],
    parallel: u32,
    cancel: &CancelToken,
    work: impl Fn(&'a I) -> T + Sync,
) -> Each<T> {
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Option<T>>> = list.iter().map(|_| Mutex::new(None)).collect();
    let threads = list.len().min(parallel.max(1) as usize);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !cancel.is_cancelled() {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(one), Some(slot)) = (list.get(at), done.get(at)) else {
                        return;
                    };
                    let result = work(one);
                    *slot.lock().unwrap_or_else(|p| p.into_inner()) = Some(result);
                }
            });
        }
    });
    let inner = |slot: Mutex<Option<T>>| slot.into_inner().unwrap_or_else(|p| p.into_inner());
    done.into_iter().map(inner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_done_in_order_and_none_after_a_stop() {
        let cancel = CancelToken::new();
        let list: Vec<u32> = (0..20).collect();
        let doubled = each(&list, 3, &cancel, |n| n * 2);
        assert_eq!(
            doubled,
            list.iter().map(|n| Some(n * 2)).collect::<Vec<_>>()
        );
        let stopped = each(&list, 1, &cancel, |n| {
            if *n == 4 {
                cancel.cancel();
            }
            *n
        });
        assert_eq!(stopped.iter().flatten().count(), 5);
    }
}
