//! How much memory a metrics file costs, from its bytes to the body of a push.

use std::cell::OnceCell;

/// The most memory for a byte of a file, in bytes: the file, what is parsed of it, the body of the request.
const OF_A_BYTE: u64 = 5;
/// The most memory for a line besides: a family of its own with one sample, and its places in the tables.
const OF_A_LINE: u64 = 512;

/// Memory that may be used, in bytes; `None` where no limit holds. What is left is found out when a file is there that has bytes: most
/// commands write no metrics, and the files of the control groups cost more than all else that is read then.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    limit: fn() -> Option<u64>,
    left: OnceCell<Option<u64>>,
}

impl MemoryBudget {
    pub(super) fn new(limit: fn() -> Option<u64>) -> Self {
        Self { limit, left: OnceCell::new() }
    }

    /// Whether a file of this many bytes can be held at all, before it is read.
    pub(super) fn has_room_for(&self, bytes: u64) -> bool {
        self.fits(bytes.saturating_mul(OF_A_BYTE))
    }

    /// Takes what the file costs from the budget; whether that was left.
    pub(super) fn take(&mut self, file: &[u8]) -> bool {
        if file.is_empty() {
            return true;
        }
        // So few at once that the count of each piece fits into a byte, which lets the processor count many at a time.
        let is_end = |byte: &u8| u8::from(matches!(byte, b'\n' | b'\r'));
        let lines = file.chunks(255).map(|piece| u64::from(piece.iter().map(is_end).sum::<u8>())).sum::<u64>() + 1;
        let cost = OF_A_BYTE * file.len() as u64 + OF_A_LINE * lines;
        let fits = self.fits(cost);
        if let (true, Some(Some(left))) = (fits, self.left.get_mut()) {
            *left -= cost;
        }
        fits
    }

    /// The limits of the process (`RLIMIT_AS`, `RLIMIT_DATA`, overcommit) are asked by an allocation that may fail.
    fn fits(&self, cost: u64) -> bool {
        let mut probe: Vec<u8> = Vec::new();
        cost == 0
            || self.left.get_or_init(self.limit).is_none_or(|left| cost <= left)
                && probe.try_reserve_exact(usize::try_from(cost).unwrap_or(usize::MAX)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryBudget;

    #[test]
    fn short_lines_cost_more_than_their_bytes() {
        let mut budget = MemoryBudget::new(|| Some(600));
        assert!(budget.has_room_for(100) && !budget.has_room_for(200));
        assert!(!budget.take(b"a 1\nb 1\n"));
        assert!(budget.take(b"a 1"));
        assert!(!budget.take(b"a 1"));
    }

    #[test]
    fn what_no_process_can_hold_is_refused_without_an_abort() {
        assert!(!MemoryBudget::new(|| None).has_room_for(u64::MAX));
    }

    #[test]
    fn an_empty_file_needs_no_memory_and_asks_for_no_limit() {
        let mut budget = MemoryBudget::new(|| panic!("nobody needs to know it"));
        assert!(budget.has_room_for(0) && budget.take(b""));
    }
}
