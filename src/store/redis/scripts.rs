//! The steps that Redis takes at once, and what they answer.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Cmd, Script, cmd};

/// What is longer is not read back: far more than the longest token response.
pub(super) const LONGEST: usize = 256 * 1024;
/// How long generations are remembered after the last one, and the longest that
/// an entry is kept: what is forgotten has nothing left to protect.
const META: Duration = Duration::from_secs(60 * 86_400);

/// A script with its keys and arguments, to be sent by its hash first.
pub(super) struct Step {
    text: &'static str,
    hash: &'static str,
    keys: [String; 5],
    args: Vec<Vec<u8>>,
}

impl Step {
    pub(super) fn by_hash(&self) -> Cmd {
        self.command("EVALSHA", self.hash)
    }

    /// For a server that does not have the script yet.
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

pub(super) fn acquire(keys: [String; 5], args: Vec<Vec<u8>>) -> Step {
    static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(ACQUIRE));
    Step {
        text: ACQUIRE,
        hash: SCRIPT.get_hash(),
        keys,
        args,
    }
}

pub(super) fn complete(keys: [String; 5], args: Vec<Vec<u8>>) -> Step {
    static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(COMPLETE));
    Step {
        text: COMPLETE,
        hash: SCRIPT.get_hash(),
        keys,
        args,
    }
}

/// What a acquire answers: what, its generation, a sealed payload, milliseconds,
/// the generation of a refresh token.
pub(super) type Answer = (String, u64, Vec<u8>, u64, u64);

pub(super) fn text(value: impl ToString) -> Vec<u8> {
    value.to_string().into_bytes()
}

pub(super) fn flag(value: bool) -> Vec<u8> {
    text(u8::from(value))
}

/// Whole milliseconds, never more than there are.
pub(super) fn millis(span: Duration) -> Vec<u8> {
    text(span.min(META).as_millis())
}

/// As [`millis`], but a lease that is wanted is never for no time.
pub(super) fn lease_millis(span: Duration) -> Vec<u8> {
    let least = if span.is_zero() { 0 } else { 1 };
    text(span.min(META).as_millis().max(least))
}

pub(super) fn meta_millis() -> Vec<u8> {
    millis(META)
}
