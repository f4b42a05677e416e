//! Ours against the kernel's: what was compared apart, by namespace in one list, and the sums over it. Pure.

use crate::kernel::namespaces::NamespaceCounters;
use crate::snapshot::NamespaceRow;

/// Differences of resets sent, absolute and summed up; `None` where nothing was compared.
pub(super) fn resets(rows: &[NamespaceRow]) -> Option<u64> {
    sum(rows.iter().filter_map(|row| row.unattributed))
}

/// Differences of overflows, likewise.
pub(super) fn overflows(counters: &[NamespaceCounters]) -> Option<u64> {
    sum(counters.iter().filter_map(|counters| counters.overflow_difference))
}

fn sum(differences: impl Iterator<Item = i64>) -> Option<u64> {
    differences.map(i64::unsigned_abs).reduce(u64::saturating_add)
}

/// Adds to each namespace what was found with its other counters. One in which only the kernel counted something gets its row here.
pub(super) fn join_overflows(rows: &mut Vec<NamespaceRow>, counters: &[NamespaceCounters]) {
    for counters in counters {
        let Some(difference) = counters.overflow_difference else { continue };
        let netns = counters.netns;
        match rows.binary_search_by_key(&netns, |row| row.netns) {
            Ok(place) => {
                if let Some(row) = rows.get_mut(place) {
                    row.unattributed_overflows = Some(difference);
                }
            }
            Err(_) if difference == 0 => {}
            Err(place) => {
                let row =
                    NamespaceRow { unattributed_overflows: Some(difference), ..NamespaceRow::of(netns) };
                rows.insert(place, row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(netns: u32, overflow_difference: Option<i64>) -> NamespaceCounters {
        NamespaceCounters { netns, overflow_difference, ..NamespaceCounters::default() }
    }

    #[test]
    fn differences_of_either_sign_add_up_and_nothing_compared_is_unknown() {
        let mut rows = vec![NamespaceRow { unattributed: Some(-3), ..NamespaceRow::of(2) }];
        let counters = [compared(1, Some(2)), compared(2, Some(-5)), compared(3, None), compared(4, Some(0))];
        assert_eq!((overflows(&counters), overflows(&counters[2..3])), (Some(7), None));
        join_overflows(&mut rows, &counters);
        let found: Vec<_> = rows.iter().map(|row| (row.netns, row.unattributed_overflows)).collect();
        assert_eq!(found, [(1, Some(2)), (2, Some(-5))]);
        assert_eq!(resets(&rows), Some(3));
    }

    #[test]
    fn a_quiet_host_is_compared_and_at_zero() {
        let mut rows = Vec::new();
        join_overflows(&mut rows, &[compared(1, Some(0))]);
        assert_eq!((overflows(&[compared(1, Some(0))]), rows), (Some(0), vec![]));
    }
}
