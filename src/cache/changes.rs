//! Word of each change, for those who listen.

use std::sync::OnceLock;

use tokio::sync::watch;

/// A channel that is made for its first listener: most of many accounts have
/// none, and it takes some 500 bytes.
#[derive(Default)]
pub(crate) struct Changes(OnceLock<watch::Sender<()>>);

impl Changes {
    pub(crate) fn tell(&self) {
        if let Some(sender) = self.0.get() {
            sender.send_replace(());
        }
    }

    /// Hears of what comes from now on, and of the end of the last handle.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.0.get_or_init(|| watch::Sender::new(())).subscribe()
    }
}
