//! Sealing entries, and opening them.

use chacha20poly1305::aead::{AeadInOut, Generate, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use super::store_key::StoreKey;
use crate::store::payload::Payload;
use crate::store::redis::error::Fault;

/// The first byte of all that is sealed in this way.
const VERSION: u8 = 1;
const KEY_ID: usize = 8;
const NONCE: usize = 24;
const HEADER: usize = 1 + KEY_ID + NONCE;

/// What an entry is. It is part of what the seal vouches for, so no entry can
/// be taken for another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct AssociatedData<'a> {
    pub(super) kind: Kind,
    pub(super) generation: u64,
    pub(super) prefix: &'a str,
    pub(super) account: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Token = 1,
    RefreshToken = 2,
    Failure = 3,
}

impl AssociatedData<'_> {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![VERSION, self.kind as u8];
        bytes.extend(self.generation.to_be_bytes());
        bytes.extend((self.prefix.len() as u64).to_be_bytes());
        bytes.extend(self.prefix.as_bytes());
        bytes.extend(self.account.as_bytes());
        bytes
    }
}

/// The keys of a store: the first one seals, all of them open.
pub(super) struct Sealer {
    keys: Vec<([u8; KEY_ID], XChaCha20Poly1305)>,
}

impl Sealer {
    /// The first key apart, for there must be one.
    pub(super) fn new(first: &StoreKey, others: &[StoreKey]) -> Self {
        let keys = std::iter::once(first).chain(others).map(|key| {
            let cipher = XChaCha20Poly1305::new(key.as_bytes().into());
            (key_id(&cipher), cipher)
        });
        Self {
            keys: keys.collect(),
        }
    }

    /// Version, key id, nonce, ciphertext and tag.
    pub(super) fn seal(
        &self,
        label: AssociatedData<'_>,
        payload: &Payload,
    ) -> Result<Vec<u8>, Fault> {
        let (id, cipher) = &self.keys[0];
        let nonce = XNonce::try_generate().map_err(|_| Fault::Random)?;
        let mut body = payload.as_bytes().to_vec();
        // Only too much data would be refused: 256 GiB.
        cipher
            .encrypt_in_place(&nonce, &label.to_bytes(), &mut body)
            .map_err(|_| Fault::TooLong)?;
        let mut sealed = Vec::with_capacity(HEADER + body.len());
        sealed.push(VERSION);
        sealed.extend(id);
        sealed.extend(nonce);
        sealed.append(&mut body);
        Ok(sealed)
    }

    /// What was sealed under that label with one of the keys; nothing for all
    /// else.
    pub(super) fn open(&self, label: AssociatedData<'_>, sealed: &[u8]) -> Option<Payload> {
        let (header, body) = sealed.split_at_checked(HEADER)?;
        let (id, nonce) = header.strip_prefix(&[VERSION])?.split_at(KEY_ID);
        let nonce = XNonce::try_from(nonce).ok()?;
        let (_, cipher) = self.keys.iter().find(|(known, _)| known == id)?;
        let mut body = body.to_vec();
        cipher
            .decrypt_in_place(&nonce, &label.to_bytes(), &mut body)
            .ok()?;
        Some(Payload::from(body))
    }
}

/// Tells keys apart and tells nothing of them: a part of the tag of nothing,
/// under a nonce that chance never gives.
fn key_id(cipher: &XChaCha20Poly1305) -> [u8; KEY_ID] {
    let mut tag = Vec::new();
    cipher
        .encrypt_in_place(&XNonce::default(), b"tower-bearer key id", &mut tag)
        .expect("nothing is not too long");
    std::array::from_fn(|i| tag[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> StoreKey {
        StoreKey::from_bytes([byte; 32])
    }

    const LABEL: AssociatedData<'_> = AssociatedData {
        kind: Kind::Token,
        generation: 7,
        prefix: "ab",
        account: "c",
    };

    fn payload() -> Payload {
        Payload::from(b"s3cret".to_vec())
    }

    #[test]
    fn what_is_sealed_opens_under_its_label_and_shows_nothing() {
        let sealer = Sealer::new(&key(1), &[]);
        let sealed = sealer.seal(LABEL, &payload()).expect("sealed");
        assert!(!sealed.windows(6).any(|w| w == b"s3cret"));
        assert_eq!(sealer.open(LABEL, &sealed), Some(payload()));
        let again = sealer.seal(LABEL, &payload()).expect("sealed");
        assert_ne!(sealed, again, "a nonce came twice");
    }

    #[test]
    fn no_entry_can_be_taken_for_another_one() {
        let sealer = Sealer::new(&key(1), &[]);
        let sealed = sealer.seal(LABEL, &payload()).expect("sealed");
        #[rustfmt::skip]
        let others = [
            AssociatedData { kind: Kind::RefreshToken, ..LABEL },
            AssociatedData { kind: Kind::Failure, ..LABEL },
            AssociatedData { generation: 8, ..LABEL },
            AssociatedData { account: "d", ..LABEL },
            AssociatedData { prefix: "a", account: "bc", ..LABEL },
        ];
        for other in others {
            assert_eq!(sealer.open(other, &sealed), None, "{other:?}");
        }
    }

    #[test]
    fn what_was_changed_anywhere_does_not_open() {
        let sealer = Sealer::new(&key(1), &[]);
        let sealed = sealer.seal(LABEL, &payload()).expect("sealed");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(sealer.open(LABEL, &changed), None, "byte {at}");
            assert_eq!(sealer.open(LABEL, &sealed[..at]), None, "{at} bytes");
        }
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let old = Sealer::new(&key(1), &[]);
        let both = Sealer::new(&key(2), &[key(1)]);
        let new = Sealer::new(&key(2), &[]);
        let by_old = old.seal(LABEL, &payload()).expect("sealed");
        let by_both = both.seal(LABEL, &payload()).expect("sealed");
        assert_eq!(both.open(LABEL, &by_old), Some(payload()));
        assert_eq!(new.open(LABEL, &by_both), Some(payload()));
        assert_eq!(old.open(LABEL, &by_both), None);
        assert_eq!(new.open(LABEL, &by_old), None);
    }
}
