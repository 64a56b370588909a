//! A secret, and all readable forms of it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

#[derive(Clone)]
pub(crate) struct Secret(String);

/// Where a secret was found.
pub(crate) struct Found {
    pub(crate) form: String,
    pub(crate) end: usize,
}

/// Shorter runs of letters and digits occur in ordinary words.
const MIN_CORE: usize = 12;

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns letters that occur nowhere else, and that every encoding of a secret
    /// around them leaves or encodes alike. Lower case, so that an error code or a
    /// host name can contain them.
    pub(crate) fn core() -> String {
        let letters = (0..24).map(|_| fastrand::lowercase());
        letters.collect()
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Returns the longest of its runs of letters and digits.
    pub(crate) fn own_core(&self) -> &str {
        let runs = self.0.split(|c: char| !c.is_ascii_alphanumeric());
        runs.max_by_key(|run| run.len()).unwrap_or_default()
    }

    pub(crate) fn forms(&self) -> Vec<(String, String)> {
        let mut forms = Vec::new();
        let mut add = |form: &str, text: String| {
            if forms.iter().all(|(_, known)| *known != text) {
                forms.push((form.to_owned(), text));
            }
        };
        let mut parts = vec![("its letters", self.own_core())];
        // If nothing is escaped, the letters suffice.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if !self.0.bytes().all(plain) {
            parts.push(("whole", &self.0));
        }
        for (what, text) in parts {
            let debug = format!("{text:?}");
            add(&format!("{what}, plain"), text.to_owned());
            add(
                &format!("{what}, escaped"),
                debug[1..debug.len() - 1].to_owned(),
            );
            add(
                &format!("{what}, escaped as ASCII"),
                text.escape_default().to_string(),
            );
            add(
                &format!("{what}, as bytes"),
                text.as_bytes().escape_ascii().to_string(),
            );
            let list = format!("{:?}", text.as_bytes());
            add(
                &format!("{what}, as numbers"),
                list[1..list.len() - 1].to_owned(),
            );
            add(
                &format!("{what}, in hex"),
                text.bytes().map(|b| format!("{b:02x}")).collect(),
            );
            let form: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
            add(&format!("{what}, in a URL"), form.replace('+', "%20"));
            add(&format!("{what}, in a form"), form);
            // For each offset within three bytes, without the characters that also
            // encode neighbouring bytes.
            for before in 0..3 {
                let padded = [&b"\0\0"[..before], text.as_bytes()].concat();
                let whole = padded.len() / 3 * 4;
                let from = [0, 2, 3][before];
                for (name, engine) in [("base64", STANDARD_NO_PAD), ("base64url", URL_SAFE_NO_PAD)]
                {
                    let encoded = engine.encode(&padded);
                    add(
                        &format!("{what}, in {name}"),
                        encoded[from..whole].to_owned(),
                    );
                }
            }
        }
        forms
    }

    pub(crate) fn find(&self, shown: &str) -> Option<Found> {
        assert!(
            self.own_core().len() >= MIN_CORE,
            "too short a secret to look for"
        );
        self.forms().into_iter().find_map(|(form, text)| {
            let at = shown.find(&text)?;
            Some(Found {
                form,
                end: at + text.len(),
            })
        })
    }
}
