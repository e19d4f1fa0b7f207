//! Names of directories made from any text, and check sums of files: FNV-1a with 128 bits (draft-eastlake-fnv). It protects from
//! accidents, not from attackers: a user who can write here needs no collision.

const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// A digest of what has been added so far.
#[derive(Debug, Clone)]
pub(crate) struct Digest(u128);

impl Digest {
    pub(crate) fn new() -> Self {
        Self(OFFSET)
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME));
    }

    /// 32 hexadecimal digits.
    pub(crate) fn text(&self) -> String {
        format!("{:032x}", self.0)
    }
}

/// The digest of these parts, one after the other.
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    let mut digest = Digest::new();
    for part in parts {
        digest.add(part);
    }
    digest.text()
}

#[cfg(test)]
mod tests {
    use super::digest;

    #[test]
    fn the_digest_is_the_published_one() {
        // draft-eastlake-fnv, test vectors.
        assert_eq!(digest(&[]), "6c62272e07bb014262b821756295c58d");
        assert_eq!(digest(&[b"foo", b"bar"]), "343e1662793c64bf6f0d3597ba446f18");
    }
}
