//! Runs cases against a server, one after the other.

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// A case's findings, in words. It panics if the case fails.
pub(crate) type Running = Pin<Box<dyn Future<Output = String> + Send>>;

pub(crate) struct Case<W> {
    pub(crate) name: &'static str,
    pub(crate) run: fn(Arc<W>) -> Running,
}

macro_rules! cases {
    ($($path:path),* $(,)?) => {
        &[$(Case {
            name: stringify!($path),
            run: |world| Box::pin($path(world)),
        }),*]
    };
}
pub(crate) use cases;

/// Those whose names contain an argument of the program; all if it has none.
pub(crate) fn wanted<W>(all: &'static [Case<W>]) -> Vec<&'static Case<W>> {
    let wanted: Vec<_> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let is_wanted =
        |case: &&Case<W>| wanted.is_empty() || wanted.iter().any(|part| case.name.contains(part));
    all.iter().filter(is_wanted).collect()
}

#[derive(Default)]
pub(crate) struct Results {
    passed: usize,
    failed: Vec<String>,
}

impl Results {
    /// Runs the cases against one server.
    pub(crate) async fn run<W: Send + Sync + 'static>(
        &mut self,
        server: &str,
        world: &Arc<W>,
        cases: &[&Case<W>],
    ) {
        for Case { name, run } in cases {
            let started = Instant::now();
            // In a task, so that a panic ends only that.
            let ended = tokio::spawn(run(world.clone())).await;
            let took = started.elapsed();
            match ended {
                Ok(found) => {
                    self.passed += 1;
                    println!("ok      {server} {name} ({took:.1?})\n        {found}");
                }
                // The panic has been printed.
                Err(_) => {
                    self.fail(format!("{server} {name}"));
                    println!("FAILED  {server} {name} ({took:.1?})");
                }
            }
        }
    }

    pub(crate) fn fail(&mut self, name: String) {
        self.failed.push(name);
    }

    /// Says how it went.
    pub(crate) fn end(self) -> ExitCode {
        for name in &self.failed {
            println!("failed: {name}");
        }
        println!("{} passed, {} failed", self.passed, self.failed.len());
        if self.failed.is_empty() && self.passed > 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
