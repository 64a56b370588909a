//! The logs of the run, and which secrets are in them.

use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tracing_subscriber::fmt::MakeWriter;

use crate::world::{PASSWORD, SECRET};

/// Parts of every password and secret of the run, and how each token begins,
/// for Keycloak's are JSON in base64url. As text, in base64 (a Basic header) and
/// as bytes that were printed as numbers.
const MARKS: [&str; 4] = ["markpass", "marksecret", "markadmin", "eyJ"];

/// Crates that see secrets and log.
const CRATES: [&str; 5] = ["tower_bearer", "hyper_util", "reqwest", "rustls", "hyper"];

static SEEN: Seen = Seen {
    crates: [const { AtomicU64::new(0) }; CRATES.len()],
    records: AtomicU64::new(0),
    bytes: AtomicU64::new(0),
    leaks: Mutex::new(Vec::new()),
};

struct Seen {
    /// Records that name each of the crates.
    crates: [AtomicU64; CRATES.len()],
    records: AtomicU64,
    bytes: AtomicU64,
    leaks: Mutex<Vec<String>>,
}

/// Has every record of every crate looked through from now on, down to TRACE.
pub(crate) fn watch() {
    let header = format!("Basic {}", STANDARD.encode(format!("api-secret:{SECRET}")));
    for leak in [
        PASSWORD,
        &header,
        "[104, 109, 97, 114, 107, 112, 97, 115, 115, 32]",
        "Bearer eyJhbGciOiJSUzI1NiJ9",
    ] {
        assert!(shows_a_secret(leak), "{leak} would not be found");
    }
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(Everything)
        .init();
}

/// Searches a text that a user may see.
pub(crate) fn look(text: &str) {
    SEEN.records.fetch_add(1, Relaxed);
    SEEN.bytes.fetch_add(text.len() as u64, Relaxed);
    if shows_a_secret(text) {
        let mut leaks = SEEN.leaks.lock().expect("no panic");
        if leaks.len() < 20 {
            leaks.push(text.chars().take(2000).collect());
        }
    }
}

fn shows_a_secret(text: &str) -> bool {
    forms().iter().any(|form| text.contains(form.as_str()))
}

/// Returns what was searched, or where a secret was.
pub(crate) fn result() -> Result<String, String> {
    let leaks = SEEN.leaks.lock().expect("no panic");
    let (records, bytes) = (SEEN.records.load(Relaxed), SEEN.bytes.load(Relaxed));
    let crates: Vec<_> = SEEN.crates.iter().map(|n| n.load(Relaxed)).collect();
    if leaks.is_empty() && crates[0] > 0 {
        let crates: Vec<_> = CRATES.iter().zip(crates).collect();
        Ok(format!(
            "0 secrets in {records} records, {bytes} bytes; records that name a crate: {crates:?}"
        ))
    } else {
        Err(format!(
            "{} leaks in {records} records: {leaks:#?}",
            leaks.len()
        ))
    }
}

/// The marks in every form that they could be printed in.
fn forms() -> &'static [String] {
    static FORMS: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| {
        let mut forms = Vec::new();
        for mark in MARKS {
            forms.push(mark.to_owned());
            let numbers: Vec<_> = mark.bytes().map(|b| b.to_string()).collect();
            forms.push(numbers.join(", "));
            // Wherever the mark stands, those of its characters that fill whole
            // groups of three bytes.
            if mark.len() > 4 {
                for skipped in 0..3 {
                    let whole = &mark[skipped..];
                    let whole = &whole[..whole.len() / 3 * 3];
                    forms.push(STANDARD.encode(whole));
                }
            }
        }
        forms
    });
    &FORMS
}

struct Everything;

struct Record(Vec<u8>);

impl MakeWriter<'_> for Everything {
    type Writer = Record;

    fn make_writer(&self) -> Record {
        Record(Vec::new())
    }
}

impl Write for Record {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.0);
        for (name, count) in CRATES.iter().zip(&SEEN.crates) {
            if text.contains(&format!(" {name}::")) || text.contains(&format!(" {name}: ")) {
                count.fetch_add(1, Relaxed);
            }
        }
        look(&text);
    }
}
