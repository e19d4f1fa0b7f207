//! The table that finds a series which was there before. One table serves all families of a file one after another, eight bytes a
//! slot, because this is what the memory of a large file goes to.

/// An open-addressing table of record numbers by hash.
#[derive(Debug, Default)]
pub(super) struct SeriesTable {
    /// The upper half of the hash, and the record's number plus one; 0 is a free slot.
    slots: Vec<(u32, u32)>,
}

impl SeriesTable {
    /// Empties the table and makes room for `count` records.
    pub(super) fn reset(&mut self, count: usize) {
        self.slots.clear();
        self.slots.resize((count.saturating_mul(2)).next_power_of_two().max(2), (0, 0));
    }

    /// The record that `is_same` says is the same, or `None` after adding this one. `reset` has made room for it.
    pub(super) fn find_or_add(&mut self, hash: u64, record: u32, mut is_same: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let [low, high] = [hash, hash >> 32].map(|half| u32::try_from(half & u64::from(u32::MAX)).unwrap_or_default());
        let mut at = low as usize & mask;
        loop {
            let slot = self.slots.get_mut(at)?;
            if slot.1 == 0 {
                *slot = (high, record + 1);
                return None;
            }
            if slot.0 == high && is_same(slot.1 - 1) {
                return Some(slot.1 - 1);
            }
            at = (at + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SeriesTable;

    #[test]
    fn a_hit_is_confirmed() {
        let mut table = SeriesTable::default();
        table.reset(3);
        assert_eq!(table.find_or_add(7, 0, |_| true), None);
        assert_eq!(table.find_or_add(7, 1, |_| false), None);
        assert_eq!(table.find_or_add(7, 2, |other| other == 1), Some(1));
        table.reset(1);
        assert_eq!(table.find_or_add(7, 2, |_| true), None);
    }
}
