//! What things are called in Redis.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What would end a hash tag, or look like another separator.
const RESERVED: &AsciiSet = &CONTROLS.add(b'%').add(b'{').add(b'}').add(b':').add(b' ');

/// The keys of an account, in the order of the scripts: token, refresh token,
/// failure, lease, meta. The account is their hash tag, so they are in one slot; a
/// tag that is empty would be none, so that one is `%`, as no account is written.
pub(super) fn keys(prefix: &str, account: &str) -> [String; 5] {
    let tag = match account {
        "" => "%".to_owned(),
        account => utf8_percent_encode(account, RESERVED).to_string(),
    };
    ["token", "refresh", "failure", "lease", "meta"]
        .map(|what| format!("{prefix}:{{{tag}}}:{what}"))
}

/// The channel on which changes are told, by the account's name.
pub(super) fn channel(prefix: &str) -> String {
    format!("{prefix}:changes")
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
