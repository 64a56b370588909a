//! Encrypts entries for a store outside this process, and decrypts them.

use std::error::Error as StdError;
use std::fmt;
use std::hash::Hasher;

use chacha20poly1305::aead::{AeadInOut, Generate, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use siphasher::sip128::{Hasher128, SipHasher24};
use zeroize::Zeroizing;

use crate::store::account::Account;
use crate::store::payload::Payload;
use crate::store::store_key::StoreKey;

/// The first byte of every sealed entry in this format.
const VERSION: u8 = 1;
const KEY_ID: usize = 8;
const NONCE: usize = 24;
const TAG: usize = 16;
const HEADER: usize = 1 + KEY_ID + NONCE;

/// The kind and place of an entry. The seal authenticates them, so no entry can be
/// passed off as another one.
#[derive(Clone, Copy)]
pub(super) struct AssociatedData<'a> {
    pub(super) kind: Kind,
    pub(super) generation: u64,
    pub(super) prefix: &'a str,
    pub(super) account: &'a Account,
    /// The fingerprint that a failure belongs to; unused for other entries.
    pub(super) credentials: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Token = 1,
    RefreshToken = 2,
    Failure = 3,
    /// The users of a name.
    Account = 4,
    /// Everything that a file holds of an account.
    Entries = 5,
}

impl AssociatedData<'_> {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![VERSION, self.kind as u8];
        bytes.extend(self.generation.to_be_bytes());
        if self.kind == Kind::Failure {
            bytes.extend(self.credentials.to_be_bytes());
        }
        bytes.extend((self.prefix.len() as u64).to_be_bytes());
        bytes.extend(self.prefix.as_bytes());
        bytes.extend((self.account.name.len() as u64).to_be_bytes());
        bytes.extend(self.account.name.as_bytes());
        bytes.extend(self.account.holder.as_bytes());
        bytes
    }
}

/// Why an entry could not be sealed.
#[derive(Debug)]
pub(super) enum SealError {
    /// The system returned no random numbers.
    Random,
    /// The entry is longer than the cipher allows (256 GiB).
    TooLong,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Random => "the system returned no random numbers to seal with",
            Self::TooLong => "the entry is too long to be sealed",
        })
    }
}

impl StdError for SealError {}

/// The keys of a store: the first one seals, all of them open.
pub(super) struct Sealer {
    keys: Vec<Key>,
}

struct Key {
    id: [u8; KEY_ID],
    cipher: XChaCha20Poly1305,
    /// The key of the hash that names credentials.
    name_key: Zeroizing<[u8; 16]>,
}

impl Sealer {
    /// Creates a sealer. The first key is separate because there must be one.
    pub(super) fn new(first: &StoreKey, others: &[StoreKey]) -> Self {
        let keys = std::iter::once(first).chain(others).map(|key| {
            let cipher = XChaCha20Poly1305::new(key.as_bytes().into());
            Key {
                id: key_id(&cipher),
                name_key: name_key(&cipher),
                cipher,
            }
        });
        Self {
            keys: keys.collect(),
        }
    }

    /// Returns version, key id, nonce, ciphertext and tag.
    pub(super) fn seal(
        &self,
        data: AssociatedData<'_>,
        payload: &Payload,
    ) -> Result<Vec<u8>, SealError> {
        let Key { id, cipher, .. } = &self.keys[0];
        let nonce = XNonce::try_generate().map_err(|_| SealError::Random)?;
        let mut body = payload.as_bytes().to_vec();
        cipher
            .encrypt_in_place(&nonce, &data.to_bytes(), &mut body)
            .map_err(|_| SealError::TooLong)?;
        let mut sealed = Vec::with_capacity(HEADER + body.len());
        sealed.push(VERSION);
        sealed.extend(id);
        sealed.extend(nonce);
        sealed.append(&mut body);
        Ok(sealed)
    }

    /// Returns what was sealed with one of the keys and this associated data, or
    /// `None` for anything else.
    pub(super) fn open(&self, data: AssociatedData<'_>, sealed: &[u8]) -> Option<Payload> {
        let (header, body) = sealed.split_at_checked(HEADER)?;
        let (id, nonce) = header.strip_prefix(&[VERSION])?.split_at(KEY_ID);
        let nonce = XNonce::try_from(nonce).ok()?;
        let key = self.keys.iter().find(|key| key.id == id)?;
        let mut body = body.to_vec();
        key.cipher
            .decrypt_in_place(&nonce, &data.to_bytes(), &mut body)
            .ok()?;
        Some(Payload::from(body))
    }

    /// Returns whether this was sealed in this format with a key that is not one of
    /// these.
    pub(super) fn lacks_key(&self, sealed: &[u8]) -> bool {
        let id = sealed
            .strip_prefix(&[VERSION])
            .and_then(|it| it.get(..KEY_ID));
        sealed.len() >= HEADER + TAG && id.is_some_and(|id| self.keys.iter().all(|it| it.id != id))
    }

    /// Returns the names of these credentials in the store, one for each key. What
    /// is written gets the first name; a process with the same keys in another order
    /// finds it too. While keys are being changed, all processes find each other's
    /// failures, and an entry under the name of a removed key costs one attempt.
    ///
    /// The fingerprint itself would let a reader of the store try passwords. A name
    /// is SipHash-2-4 with 128 bits of it, a pseudorandom function: without the key
    /// it reveals nothing, not even that two accounts have the same credentials.
    pub(super) fn names(&self, prefix: &str, account: &Account, credentials: u64) -> Vec<String> {
        let name = |key: &Key| {
            let mut hasher = SipHasher24::new_with_key(&key.name_key);
            hasher.write(&credentials.to_be_bytes());
            hasher.write(&(prefix.len() as u64).to_be_bytes());
            hasher.write(prefix.as_bytes());
            hasher.write(&(account.name.len() as u64).to_be_bytes());
            hasher.write(account.name.as_bytes());
            hasher.write(account.holder.as_bytes());
            let hash = u128::from_le_bytes(hasher.finish128().as_bytes());
            format!("{hash:032x}")
        };
        self.keys.iter().map(name).collect()
    }
}

/// Derives the key that names credentials: the first bytes of the cipher's key
/// stream under a nonce that is never generated at random. The stream is a
/// pseudorandom function of the nonce, so the derived key reveals nothing about the
/// store's key or about what is sealed.
fn name_key(cipher: &XChaCha20Poly1305) -> Zeroizing<[u8; 16]> {
    let mut stream = Zeroizing::new(vec![0; 16 + TAG]);
    stream.truncate(16);
    cipher
        .encrypt_in_place(
            &XNonce::from(*b"tower-bearer credentials"),
            &[],
            &mut *stream,
        )
        .expect("16 bytes are not too long");
    Zeroizing::new(std::array::from_fn(|i| stream[i]))
}

/// Returns an id that distinguishes keys and reveals nothing about them: a part of
/// the tag of an empty message, under a nonce that is never generated at random.
fn key_id(cipher: &XChaCha20Poly1305) -> [u8; KEY_ID] {
    let mut tag = Vec::new();
    cipher
        .encrypt_in_place(&XNonce::default(), b"tower-bearer key id", &mut tag)
        .expect("an empty message is not too long");
    std::array::from_fn(|i| tag[i])
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    fn key(byte: u8) -> StoreKey {
        StoreKey::from_bytes([byte; 32])
    }

    fn account(name: &str) -> &'static Account {
        held(name, "")
    }

    fn held(name: &str, holder: &str) -> &'static Account {
        Box::leak(Box::new(Account::new(name).held_by(holder)))
    }

    static DATA: LazyLock<AssociatedData<'static>> = LazyLock::new(|| AssociatedData {
        kind: Kind::Token,
        generation: 7,
        prefix: "ab",
        account: account("c"),
        credentials: 5,
    });

    fn payload() -> Payload {
        Payload::from(b"s3cret".to_vec())
    }

    #[test]
    fn what_is_sealed_opens_with_its_associated_data_and_shows_nothing() {
        let sealer = Sealer::new(&key(1), &[]);
        let sealed = sealer.seal(*DATA, &payload()).expect("sealed");
        assert!(!sealed.windows(6).any(|w| w == b"s3cret"));
        assert_eq!(sealer.open(*DATA, &sealed), Some(payload()));
        let again = sealer.seal(*DATA, &payload()).expect("sealed");
        assert_ne!(sealed, again, "a nonce came twice");
    }

    #[test]
    fn no_entry_can_be_taken_for_another_one() {
        let sealer = Sealer::new(&key(1), &[]);
        let sealed = sealer.seal(*DATA, &payload()).expect("sealed");
        #[rustfmt::skip]
        let others = [
            AssociatedData { kind: Kind::RefreshToken, ..*DATA },
            AssociatedData { kind: Kind::Failure, ..*DATA },
            AssociatedData { generation: 8, ..*DATA },
            AssociatedData { account: account("d"), ..*DATA },
            AssociatedData { account: held("c", "elsewhere"), ..*DATA },
            AssociatedData { account: held("", "c"), ..*DATA },
            AssociatedData { prefix: "a", account: account("bc"), ..*DATA },
        ];
        for other in others {
            assert_eq!(sealer.open(other, &sealed), None);
        }
    }

    #[test]
    fn what_was_changed_anywhere_does_not_open() {
        let sealer = Sealer::new(&key(1), &[]);
        let sealed = sealer.seal(*DATA, &payload()).expect("sealed");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(sealer.open(*DATA, &changed), None, "byte {at}");
            assert_eq!(sealer.open(*DATA, &sealed[..at]), None, "{at} bytes");
        }
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let old = Sealer::new(&key(1), &[]);
        let both = Sealer::new(&key(2), &[key(1)]);
        let new = Sealer::new(&key(2), &[]);
        let by_old = old.seal(*DATA, &payload()).expect("sealed");
        let by_both = both.seal(*DATA, &payload()).expect("sealed");
        assert_eq!(both.open(*DATA, &by_old), Some(payload()));
        assert_eq!(new.open(*DATA, &by_both), Some(payload()));
        assert_eq!(old.open(*DATA, &by_both), None);
        assert_eq!(new.open(*DATA, &by_old), None);
    }

    #[test]
    fn a_failure_is_bound_to_its_credentials_and_a_token_is_not() {
        let sealer = Sealer::new(&key(1), &[]);
        for (kind, opens) in [(Kind::Failure, false), (Kind::Token, true)] {
            let data = AssociatedData { kind, ..*DATA };
            let sealed = sealer.seal(data, &payload()).expect("sealed");
            assert_eq!(sealer.open(data, &sealed), Some(payload()));
            let other = AssociatedData {
                credentials: 6,
                ..data
            };
            assert_eq!(sealer.open(other, &sealed).is_some(), opens, "{kind:?}");
        }
    }

    #[test]
    fn credentials_have_the_same_name_in_every_process_with_the_same_key() {
        let names = |keys: &[u8]| {
            let others: Vec<_> = keys[1..].iter().copied().map(key).collect();
            Sealer::new(&key(keys[0]), &others).names("ab", account("c"), 7)
        };
        assert_eq!(names(&[1]), ["c18e038e9e24fee1ddc62c1facf147c5"]);
        assert_eq!(names(&[2, 1]), [names(&[2]), names(&[1])].concat());
        let sealer = Sealer::new(&key(1), &[]);
        let others = [
            sealer.names("ab", account("c"), 8),
            sealer.names("ab", account("d"), 7),
            sealer.names("a", account("bc"), 7),
            sealer.names("ab", held("c", "elsewhere"), 7),
            names(&[2]),
        ];
        for other in others {
            assert_ne!(other, names(&[1]));
        }
    }
}
