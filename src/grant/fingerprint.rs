//! Fingerprint of credentials: a number that differs for other credentials, and is
//! the same in every build and on every platform.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

/// Hashes what a grant sends. The algorithm and the byte order are fixed, unlike
/// those of std's default hasher, because processes of different builds share a
/// store.
#[derive(Debug)]
pub struct Fingerprint(SipHasher24);

impl Fingerprint {
    pub(super) fn new() -> Self {
        Self(SipHasher24::new())
    }
}

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        // Zero means unknown.
        self.0.finish().max(1)
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    fn write_u16(&mut self, number: u16) {
        self.0.write(&number.to_le_bytes());
    }

    fn write_u32(&mut self, number: u32) {
        self.0.write(&number.to_le_bytes());
    }

    fn write_u64(&mut self, number: u64) {
        self.0.write(&number.to_le_bytes());
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::hash::Hash;

    use super::*;

    #[test]
    fn a_fingerprint_is_the_same_in_every_build() {
        let mut fingerprint = Fingerprint::new();
        ("me", Some("pw"), ["a", "b"].as_slice(), 7_u64).hash(&mut fingerprint);
        assert_eq!(fingerprint.finish(), 2_899_751_497_881_388_933);
    }
}
