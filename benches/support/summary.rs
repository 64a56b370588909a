//! Numbers for programs to read: `target/bench-summary/NAME.json`, flat.

use std::fs;
use std::path::PathBuf;

pub(crate) struct Summary {
    name: &'static str,
    members: Vec<(String, String)>,
}

impl Summary {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            members: Vec::new(),
        }
    }

    /// A figure; `null` if it could not be measured.
    pub(crate) fn number(&mut self, key: impl Into<String>, value: impl Into<Option<f64>>) {
        let value = value.into().filter(|value| value.is_finite());
        let text = value.map_or("null".to_owned(), |value| {
            let text = format!("{value:.4}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        });
        self.members.push((key.into(), text));
    }

    pub(crate) fn write(&self) {
        let members: Vec<String> = self
            .members
            .iter()
            .map(|(key, value)| format!("  {key:?}: {value}"))
            .collect();
        let text = format!("{{\n{}\n}}\n", members.join(",\n"));
        write(&format!("{}.json", self.name), &text);
    }
}

/// Writes a file next to the summaries.
pub(crate) fn write(file: &str, text: &str) {
    // Cargo's folder for tests is `target/tmp`.
    let mut folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    folder.set_file_name("bench-summary");
    fs::create_dir_all(&folder).expect("a folder for summaries");
    fs::write(folder.join(file), text).expect("a summary that can be written");
    println!("written: target/bench-summary/{file}");
}
