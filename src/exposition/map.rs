//! Maps of names and series. std's hash function takes a sixth of the time in which a large file is read; this one has a random
//! seed in each process too, so that nobody can make a file whose names collide (README of foldhash).

use foldhash::fast::RandomState;

/// A map with that hash function.
pub(super) type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;
/// A set with that hash function.
pub(super) type HashSet<K> = std::collections::HashSet<K, RandomState>;
