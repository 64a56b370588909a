//! The content of a file, sealed and before it is.

use std::time::Duration;

use zeroize::Zeroizing;

use super::clocks::Clocks;
use super::folder::FileId;
use crate::store::entries::{CurrentLease, Entries, Record, Time};
use crate::store::payload::Payload;
use crate::store::token_store::FAILURES_KEPT;

/// Everything that a file holds of an account, before it is sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) entries: Entries,
    /// The time that the entries refer to, when it was written.
    pub(super) written_at: Time,
    /// The same moment by the machine's clocks.
    pub(super) clocks: Clocks,
    /// The file that it was written to.
    pub(super) file: FileId,
}

/// The first byte of what is encoded.
const VERSION: u8 = 1;

impl Image {
    /// Returns the content of an account without a file.
    pub(super) fn empty(clocks: Clocks) -> Self {
        Self {
            written_at: clocks.wall,
            clocks,
            ..Self::default()
        }
    }

    /// Returns the time that the entries refer to.
    pub(super) fn now(&self, clocks: &Clocks) -> Time {
        self.written_at.saturating_add(clocks.since(&self.clocks))
    }

    /// Forgets the refresh tokens if this was found in another file than it was
    /// written to: a restored copy may have one that was sent before.
    pub(super) fn found_in(&mut self, file: FileId) {
        if self.file != file {
            self.entries.refresh_token = None;
            if let Some(lease) = &mut self.entries.lease {
                lease.refresh_token = None;
            }
        }
    }

    pub(super) fn encode(&self) -> Payload {
        let Entries {
            token,
            refresh_token,
            failures,
            lease,
            withdrawn,
            generation,
            written,
        } = &self.entries;
        let records = [token, refresh_token].into_iter().flatten();
        let records = records.chain(failures.iter().map(|(_, it)| it));
        let kept = lease.iter().filter_map(|it| it.refresh_token.as_ref());
        let payloads: usize = records
            .chain(kept)
            .map(|it| it.payload.as_bytes().len())
            .sum();
        // Large enough: a buffer that grows would leave a token in memory.
        let room = 256 + payloads + 32 * (failures.len() + withdrawn.len());
        let mut writer = Writer(Zeroizing::new(Vec::with_capacity(room)));
        writer.0.push(VERSION);
        writer.number(self.clocks.run);
        writer.time(self.clocks.since_start);
        writer.time(self.clocks.wall);
        writer.time(self.written_at);
        writer.number(self.file.inode);
        writer.number(self.file.born);
        writer.number(*generation);
        writer.number(*written);
        writer.optional(token.as_ref());
        writer.optional(refresh_token.as_ref());
        writer.number(failures.len() as u64);
        for (credentials, failure) in failures {
            writer.number(*credentials);
            writer.record(failure);
        }
        writer.number(withdrawn.len() as u64);
        for (nonce, until) in withdrawn {
            writer.number(*nonce);
            writer.time(*until);
        }
        writer.0.push(u8::from(lease.is_some()));
        if let Some(lease) = lease {
            writer.number(lease.generation);
            writer.number(lease.nonce);
            writer.time(lease.ends_at);
            writer.optional(lease.refresh_token.as_ref());
        }
        Payload::from(std::mem::take(&mut *writer.0))
    }

    /// Returns `None` for anything that [`encode`](Self::encode) does not write.
    pub(super) fn decode(payload: &Payload) -> Option<Self> {
        let mut reader = Reader(payload.as_bytes().strip_prefix(&[VERSION])?);
        let mut image = Self {
            clocks: Clocks {
                run: reader.number()?,
                since_start: reader.time()?,
                wall: reader.time()?,
            },
            written_at: reader.time()?,
            file: FileId {
                inode: reader.number()?,
                born: reader.number()?,
            },
            entries: Entries::default(),
        };
        let entries = &mut image.entries;
        entries.generation = reader.number()?;
        entries.written = reader.number()?;
        entries.token = reader.optional()?;
        entries.refresh_token = reader.optional()?;
        let failures = reader.number()?;
        if failures > FAILURES_KEPT as u64 {
            return None;
        }
        for _ in 0..failures {
            let credentials = reader.number()?;
            entries.failures.push((credentials, reader.record()?));
        }
        for _ in 0..reader.number()? {
            let nonce = reader.number()?;
            entries.withdrawn.push((nonce, reader.time()?));
        }
        if reader.flag()? {
            entries.lease = Some(CurrentLease {
                generation: reader.number()?,
                nonce: reader.number()?,
                ends_at: reader.time()?,
                refresh_token: reader.optional()?,
            });
        }
        reader.0.is_empty().then_some(image)
    }
}

struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    fn number(&mut self, number: u64) {
        self.0.extend(number.to_be_bytes());
    }

    fn time(&mut self, time: Time) {
        self.number(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    fn record(&mut self, record: &Record) {
        self.number(record.generation);
        self.time(record.expires_at);
        let payload = record.payload.as_bytes();
        self.number(payload.len() as u64);
        self.0.extend(payload);
    }

    fn optional(&mut self, record: Option<&Record>) {
        self.0.push(u8::from(record.is_some()));
        if let Some(record) = record {
            self.record(record);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*number))
    }

    fn time(&mut self) -> Option<Time> {
        self.number().map(Duration::from_nanos)
    }

    fn flag(&mut self) -> Option<bool> {
        let (flag, rest) = self.0.split_first()?;
        self.0 = rest;
        (*flag <= 1).then_some(*flag == 1)
    }

    fn record(&mut self) -> Option<Record> {
        let (generation, expires_at) = (self.number()?, self.time()?);
        let length = usize::try_from(self.number()?).ok()?;
        let (payload, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(Record {
            generation,
            payload: Payload::from(payload.to_vec()),
            expires_at,
        })
    }

    fn optional(&mut self) -> Option<Option<Record>> {
        match self.flag()? {
            true => self.record().map(Some),
            false => Some(None),
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: u8) -> Record {
        Record {
            generation: n.into(),
            payload: Payload::from(vec![n; n.into()]),
            expires_at: Duration::from_nanos(n.into()),
        }
    }

    fn image() -> Image {
        Image {
            entries: Entries {
                token: Some(record(1)),
                refresh_token: Some(record(2)),
                failures: vec![(3, record(3)), (u64::MAX, record(0))],
                lease: Some(CurrentLease {
                    generation: 4,
                    nonce: 5,
                    ends_at: Duration::from_millis(6),
                    refresh_token: Some(record(7)),
                }),
                withdrawn: vec![(8, Duration::from_secs(9))],
                generation: 10,
                written: 11,
            },
            written_at: Duration::from_secs(12),
            clocks: Clocks {
                run: 13,
                since_start: Duration::from_secs(14),
                wall: Duration::from_secs(15),
            },
            file: FileId {
                inode: 16,
                born: 17,
            },
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_and_nothing_shorter_or_longer() {
        for image in [image(), Image::default()] {
            let encoded = image.encode();
            assert_eq!(Image::decode(&encoded), Some(image));
            let bytes = encoded.as_bytes();
            for length in 0..bytes.len() {
                let cut = Payload::from(bytes[..length].to_vec());
                assert_eq!(Image::decode(&cut), None, "{length}");
            }
            let longer = Payload::from([bytes, &[0]].concat());
            assert_eq!(Image::decode(&longer), None);
        }
    }

    #[test]
    fn a_copy_has_no_refresh_token() {
        let mut same = image();
        same.found_in(same.file);
        assert_eq!(same, image());
        for file in [FileId { inode: 1, born: 17 }, FileId { inode: 16, born: 1 }] {
            let mut copy = image();
            copy.found_in(file);
            assert_eq!(copy.entries.refresh_token, None);
            assert_eq!(copy.entries.lease.and_then(|it| it.refresh_token), None);
            assert_eq!(copy.entries.token, image().entries.token);
        }
    }
}
