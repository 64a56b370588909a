//! All readable output: logs, and what the tests print.

use std::error::Error;
use std::fmt::Debug;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tracing_subscriber::filter::LevelFilter;

use crate::forms::Secret;

#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<(Vec<u8>, Vec<Secret>)>>);

impl Seen {
    /// With every event and span of every crate, `log`'s records among them.
    pub(crate) fn everything() -> Self {
        static SEEN: LazyLock<Seen> = LazyLock::new(|| {
            let seen = Seen::default();
            let writer = seen.clone();
            tracing_subscriber::fmt()
                .with_max_level(LevelFilter::TRACE)
                .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
                .with_ansi(false)
                .with_writer(move || Writer(writer.clone()))
                .init();
            seen
        });
        SEEN.clone()
    }

    pub(crate) fn text(&self) -> String {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&seen.0).into_owned()
    }

    fn add(&self, text: &str) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.0.extend(text.as_bytes());
    }

    /// A token that must not be read.
    pub(crate) fn keep(&self, token: &str) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.1.push(Secret::new(token));
    }

    pub(crate) fn tokens(&self) -> Vec<Secret> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.1.clone()
    }

    pub(crate) fn show(&self, name: &str, value: &dyn Debug) {
        self.add(&format!("{name}: {value:?} {value:#?}\n"));
    }

    /// An error, as every kind of reporter shows it.
    pub(crate) fn show_error(&self, error: &(dyn Error + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.add(&format!("{error} {error:#} {error:?} {error:#?}\n"));
            next = error.source();
        }
    }
}

struct Writer(Seen);

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.add(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
