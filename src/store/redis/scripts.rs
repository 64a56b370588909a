//! The scripts that run in Redis, their keys, arguments and results.

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use redis::{Cmd, Script, cmd};

use crate::store::account::Account;
use crate::store::token_store::{FAILURE_MEMORY, WITHDRAWAL_MEMORY};

/// The longest entry that is read back, in bytes: far more than the longest token
/// response.
pub(super) const MAX_ENTRY: usize = 256 * 1024;
/// How long generations are remembered after the last one, and the longest time that
/// an entry is kept. After that no entry is left that a generation has to protect.
const META_TTL: Duration = Duration::from_secs(60 * 86_400);

/// A script, and whether it is known to the server on the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Acquire,
    Complete,
    Withdraw,
}

impl Kind {
    const fn text(self) -> &'static str {
        match self {
            Self::Acquire => include_str!("acquire.lua"),
            Self::Complete => include_str!("complete.lua"),
            Self::Withdraw => include_str!("withdraw.lua"),
        }
    }

    fn hash(self) -> &'static str {
        static SCRIPTS: LazyLock<[Script; 3]> = LazyLock::new(|| {
            [Kind::Acquire, Kind::Complete, Kind::Withdraw].map(|it| Script::new(it.text()))
        });
        SCRIPTS[self as usize].get_hash()
    }
}

/// A script with its keys and arguments.
pub(super) struct ScriptCall {
    pub(super) kind: Kind,
    pub(super) keys: [String; 6],
    pub(super) args: Vec<Vec<u8>>,
}

impl ScriptCall {
    /// Calls the script by its hash, which the server knows after the first call.
    pub(super) fn by_hash(&self) -> Cmd {
        self.command("EVALSHA", self.kind.hash())
    }

    /// Sends the script itself, for a server that may not know it yet.
    pub(super) fn by_text(&self) -> Cmd {
        self.command("EVAL", self.kind.text())
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = cmd(name);
        command.arg(script).arg(self.keys.len()).arg(&self.keys);
        command.arg(&self.args);
        command
    }
}

/// The result of the script `acquire`: what was acquired, its generation, a sealed
/// payload, its time to live in milliseconds, the generation of the refresh token,
/// the sealed failure that a lease hands over, its generation, the server's clock,
/// and the users of the account's name.
pub(super) type AcquireResult = (
    String,
    u64,
    Vec<u8>,
    u64,
    u64,
    Vec<u8>,
    u64,
    u64,
    Vec<Vec<u8>>,
);

/// Characters that would end a hash tag, or look like another separator.
const RESERVED: &AsciiSet = &CONTROLS.add(b'%').add(b'{').add(b'}').add(b':').add(b' ');

/// The names of an account in Redis.
pub(super) struct Names {
    /// The name in lower case, the same for names that differ only in case.
    pub(super) folded: String,
    /// Distinguishes this account from others with the same name.
    pub(super) suffix: String,
    prefix: String,
}

impl Names {
    pub(super) fn of(prefix: &str, account: &Account) -> Self {
        let folded = account.name.to_lowercase();
        let plain = account.holder.is_empty() && account.name == folded;
        let suffix = match plain {
            true => String::new(),
            false => format!(":{}", URL_SAFE_NO_PAD.encode(account.hash())),
        };
        // An empty hash tag has no effect, so it is written as `%`, which no escaped
        // name is.
        let tag = match folded.as_str() {
            "" => "%".to_owned(),
            name => utf8_percent_encode(name, RESERVED).to_string(),
        };
        Self {
            prefix: format!("{prefix}:{{{tag}}}"),
            folded,
            suffix,
        }
    }

    /// Returns the keys in the order of the scripts: token, refresh token, failures,
    /// lease, meta, and the one that records that this nonce was withdrawn. The name
    /// is their hash tag, so a cluster keeps them in one slot. All have the suffix
    /// except `meta`, which accounts of one name share.
    pub(super) fn keys(&self, nonce: u64) -> [String; 6] {
        let Self { prefix, suffix, .. } = self;
        let key = |kind: &str| format!("{prefix}{suffix}:{kind}");
        [
            key("token"),
            key("refresh"),
            key("failures"),
            key("lease"),
            format!("{prefix}:meta"),
            key(&format!("withdrawn:{nonce}")),
        ]
    }

    /// Returns the message that is published when the account changes.
    pub(super) fn text(&self) -> String {
        format!("{}{}", self.folded, self.suffix)
    }
}

/// Returns the channel on which changes are published.
pub(super) fn channel(prefix: &str) -> String {
    format!("{prefix}:changes")
}

pub(super) fn text(value: impl ToString) -> Vec<u8> {
    value.to_string().into_bytes()
}

pub(super) fn flag(value: bool) -> Vec<u8> {
    text(u8::from(value))
}

/// Rounds down to whole milliseconds.
pub(super) fn millis(duration: Duration) -> Vec<u8> {
    text(duration.min(META_TTL).as_millis())
}

/// Rounds down to whole milliseconds, but never to zero, which would request no
/// lease.
pub(super) fn lease_millis(duration: Duration) -> Vec<u8> {
    let least = if duration.is_zero() { 0 } else { 1 };
    text(duration.min(META_TTL).as_millis().max(least))
}

pub(super) fn meta_millis() -> Vec<u8> {
    millis(META_TTL)
}

pub(super) fn failure_memory_millis() -> Vec<u8> {
    millis(FAILURE_MEMORY)
}

pub(super) fn withdrawal_memory_millis() -> Vec<u8> {
    millis(WITHDRAWAL_MEMORY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_the_hash_tag_whatever_it_is_called() {
        for (account, tag) in [
            ("me@example.com", "me@example.com"),
            ("", "%"),
            ("%", "%25"),
            ("}", "%7D"),
            ("a}b{c", "a%7Db%7Bc"),
            ("a:token", "a%3Atoken"),
            ("100%", "100%25"),
            ("ü", "%C3%BC"),
        ] {
            let [token, refresh, ..] = Names::of("p", &account.into()).keys(0);
            assert_eq!(token, format!("p:{{{tag}}}:token"));
            assert_eq!(refresh, format!("p:{{{tag}}}:refresh"));
        }
    }

    #[test]
    fn accounts_of_one_name_share_nothing_but_their_generations() {
        let keys = |name: &str, holder: &str| {
            let account = Account::new(name).held_by(holder);
            Names::of("p", &account).keys(7)
        };
        let plain = keys("me", "");
        assert_eq!(plain[0], "p:{me}:token");
        let mut all = vec![plain];
        for (name, holder) in [("me", "a"), ("me", "b"), ("Me", ""), ("ME", "a")] {
            let keys = keys(name, holder);
            assert_eq!(keys[4], "p:{me}:meta");
            for other in &all {
                let same = (0..6).filter(|n| keys[*n] == other[*n]).count();
                assert_eq!(same, 1, "{keys:?} {other:?}");
            }
            all.push(keys);
        }
    }
}
