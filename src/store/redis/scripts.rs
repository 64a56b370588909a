//! The scripts that run in Redis, their keys, arguments and results.

use std::sync::LazyLock;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use redis::{Cmd, Script, cmd};

use crate::store::token_store::FAILURE_MEMORY;

/// The longest entry that is read back, in bytes: far more than the longest token
/// response.
pub(super) const MAX_ENTRY: usize = 256 * 1024;
/// How long generations are remembered after the last one, and the longest that an
/// entry is kept. After that nothing is left that a generation has to protect.
const META_TTL: Duration = Duration::from_secs(60 * 86_400);

/// A script with its keys and arguments.
pub(super) struct ScriptCall {
    text: &'static str,
    hash: &'static str,
    keys: [String; 5],
    args: Vec<Vec<u8>>,
}

impl ScriptCall {
    /// Calls the script by its hash, which the server knows after the first call.
    pub(super) fn by_hash(&self) -> Cmd {
        self.command("EVALSHA", self.hash)
    }

    /// Sends the script itself, for a server that does not know it yet.
    pub(super) fn by_text(&self) -> Cmd {
        self.command("EVAL", self.text)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = cmd(name);
        command.arg(script).arg(self.keys.len()).arg(&self.keys);
        command.arg(&self.args);
        command
    }
}

const ACQUIRE: &str = include_str!("acquire.lua");
const COMPLETE: &str = include_str!("complete.lua");

pub(super) fn acquire(keys: [String; 5], args: Vec<Vec<u8>>) -> ScriptCall {
    static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(ACQUIRE));
    ScriptCall {
        text: ACQUIRE,
        hash: SCRIPT.get_hash(),
        keys,
        args,
    }
}

pub(super) fn complete(keys: [String; 5], args: Vec<Vec<u8>>) -> ScriptCall {
    static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(COMPLETE));
    ScriptCall {
        text: COMPLETE,
        hash: SCRIPT.get_hash(),
        keys,
        args,
    }
}

/// The result of the script `acquire`: what was acquired, its generation, a sealed
/// payload, its time to live in milliseconds, the generation of the refresh token, the
/// sealed failure that a lease hands over, its generation.
pub(super) type AcquireResult = (String, u64, Vec<u8>, u64, u64, Vec<u8>, u64);

/// Characters that would end a hash tag, or look like another separator.
const RESERVED: &AsciiSet = &CONTROLS.add(b'%').add(b'{').add(b'}').add(b':').add(b' ');

/// Returns the keys of an account in the order of the scripts: token, refresh token,
/// failures, lease, meta. The account is their hash tag, so a cluster keeps them in
/// one slot. An empty tag would not count as one, so it is written `%`, which no
/// escaped account name is.
pub(super) fn keys(prefix: &str, account: &str) -> [String; 5] {
    let tag = match account {
        "" => "%".to_owned(),
        account => utf8_percent_encode(account, RESERVED).to_string(),
    };
    ["token", "refresh", "failures", "lease", "meta"]
        .map(|kind| format!("{prefix}:{{{tag}}}:{kind}"))
}

/// Returns the channel on which changes are published, each as an account's name.
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

/// Rounds down to whole milliseconds, but never to zero, which would ask for no
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
            let [token, refresh, ..] = keys("p", account);
            assert_eq!(token, format!("p:{{{tag}}}:token"));
            assert_eq!(refresh, format!("p:{{{tag}}}:refresh"));
        }
    }
}
