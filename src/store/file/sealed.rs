//! The format of a file.

/// The content of a file: an account, sealed for all spellings of its name, and its
/// entries, sealed for that account.
pub(super) struct Sealed<'a> {
    pub(super) account: &'a [u8],
    pub(super) entries: &'a [u8],
}

/// The first bytes of a file of this format.
const MAGIC: &[u8; 4] = b"tbf1";

impl<'a> Sealed<'a> {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let length = (self.account.len() as u32).to_be_bytes();
        [MAGIC.as_slice(), &length, self.account, self.entries].concat()
    }

    pub(super) fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        let (length, rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (account, entries) = rest.split_at_checked(length)?;
        Some(Self { account, entries })
    }
}
