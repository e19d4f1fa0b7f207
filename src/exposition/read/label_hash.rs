//! What makes two samples the same series: the label set as the gateway sees it, in any order, without the labels that
//! the grouping key has too and without empty ones.

use std::hash::{BuildHasher, RandomState};

use crate::exposition::model::write_escaped;

/// Hashes label pairs. The seed differs from run to run, so that no file can be made whose labels all collide; nothing
/// that is written depends on it.
#[derive(Debug)]
pub(super) struct LabelHasher<'c> {
    grouping: &'c [(String, String)],
    /// The values of the grouping labels with their escapes.
    values: Vec<String>,
    seed: u64,
}

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl<'c> LabelHasher<'c> {
    pub(super) fn new(grouping: &'c [(String, String)]) -> Self {
        let escaped = |(_, value): &(String, String)| {
            let mut out = String::new();
            write_escaped(&mut out, value);
            out
        };
        Self { grouping, values: grouping.iter().map(escaped).collect(), seed: RandomState::new().hash_one(0_u8) }
    }

    /// Whether the grouping key replaces the label of this name.
    #[inline]
    pub(super) fn is_overwritten(&self, name: &[u8]) -> bool {
        self.grouping.iter().any(|(other, _)| other.as_bytes() == name)
    }

    /// Whether the grouping key has a label of this name with another value than this one, which is still escaped. An empty
    /// label is none.
    #[inline]
    pub(super) fn clashes(&self, name: &[u8], value: &[u8]) -> bool {
        let differs =
            |(other, own): (&(String, String), &String)| other.0.as_bytes() == name && own.as_bytes() != value;
        !value.is_empty() && self.grouping.iter().zip(&self.values).any(differs)
    }

    /// The hash of one label pair, `name="value` in its written form. The hash of a set is the sum of those of its pairs.
    #[inline]
    pub(super) fn hash(&self, pair: &[u8]) -> u64 {
        let mut state = self.seed ^ (pair.len() as u64);
        let Some(last) = pair.last_chunk::<8>() else {
            let word = pair.iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
            return fold(state ^ word, MULTIPLIER ^ self.seed);
        };
        for word in pair.as_chunks::<8>().0 {
            state = fold(state ^ u64::from_le_bytes(*word), MULTIPLIER);
        }
        // The last eight bytes overlap the ones before; the length is part of the state.
        fold(state ^ u64::from_le_bytes(*last), MULTIPLIER ^ self.seed)
    }

    /// The hash of a number, to tell apart what shares a label set.
    pub(super) fn mix(&self, hash: u64, number: u64) -> u64 {
        fold(hash ^ self.seed, number ^ MULTIPLIER)
    }
}

/// The two halves of the 128-bit product, folded (the mixer of wyhash).
#[inline]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    let [low, high] =
        [product, product >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)).unwrap_or_default());
    low ^ high
}
