//! Functions that the examples share.
#![allow(dead_code, reason = "each example uses a part of it")]

/// Returns the values of these variables, or `None` if none of them is set (empty
/// counts as not set). If only some are, this names the missing ones and exits with
/// 2.
pub(crate) fn all_or_none<const N: usize>(names: [&str; N]) -> Option<[String; N]> {
    let values = names.map(|name| std::env::var(name).unwrap_or_default());
    let pairs = names.iter().zip(&values);
    let missing: Vec<_> = pairs.filter(|p| p.1.is_empty()).map(|p| *p.0).collect();
    if !missing.is_empty() && missing.len() < N {
        usage(&format!(
            "missing: {}\nSet {} to call the real service, none of them for the embedded one.",
            missing.join(", "),
            names.join(", "),
        ));
    }
    missing.is_empty().then_some(values)
}

/// Prints what is wrong with the variables, and exits with 2.
pub(crate) fn usage(what: &str) -> ! {
    eprintln!("{what}");
    std::process::exit(2)
}

/// Waits for ctrl-c or, on Unix, for SIGTERM.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).expect("a signal handler");
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    let _ = tokio::signal::ctrl_c().await;
}
