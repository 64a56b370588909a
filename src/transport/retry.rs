//! Which failed requests are sent once more: a pure decision.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};

/// What hyper and h2 say when a connection ended before an answer came. They are
/// known by their words, because neither is linked in where a grant has a
/// transport of its own.
const WORDS: [&str; 5] = [
    "connection closed before message completed",
    "operation was canceled",
    "channel closed",
    // RFC 9113, section 8.7: these were not processed.
    "stream error received: refused stream before processing any application logic",
    "connection error received: not a result of an error",
];

/// Whether the connection was closed under a request. A server that closes an
/// idle connection while a request is on its way has not read it.
pub(super) fn was_closed(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<io::Error>();
        let words = error.to_string();
        if io.is_some_and(|io| is_closed(io.kind()))
            || WORDS.iter().any(|known| words.starts_with(known))
        {
            return true;
        }
        // An `io::Error` has not the error in it as its source, but that one's.
        next = match io.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

fn is_closed(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
    )
}

/// The parameters that a server may take only once: a refresh token that rotates
/// (a second use ends the session: RFC 9700, section 4.14.2), a code, an
/// assertion whose `jti` the server remembers (RFC 7523, section 3). And a password:
/// Keycloak's detection of brute force refuses the right one while another login of
/// the user goes on, as one may whose connection was closed.
const ONCE: [&[u8]; 5] = [
    b"refresh_token",
    b"code",
    b"assertion",
    b"client_assertion",
    b"password",
];

/// Whether a form may be sent a second time, though the server may have read it.
pub(super) fn may_repeat(form: &[u8]) -> bool {
    form.split(|byte| *byte == b'&').all(|param| {
        let name = param.split(|byte| *byte == b'=').next();
        name.is_none_or(|name| !ONCE.contains(&name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{BoxError, TokenError, TokenErrorKind};

    #[test]
    fn what_may_be_used_once_is_sent_once() {
        for (form, repeated) in [
            ("", true),
            (
                "client_id=api&username=me&password=p&grant_type=password",
                false,
            ),
            ("grant_type=client_credentials&scope=refresh_token", true),
            ("grant_type=refresh_token", true),
            ("a=refresh_token%3D&b", true),
            ("token=t&token_type_hint=refresh_token", true),
            ("refresh_token=r&grant_type=refresh_token", false),
            ("client_id=api&refresh_token=r", false),
            ("grant_type=x&client_assertion=j", false),
            ("assertion=j&grant_type=x", false),
            ("grant_type=authorization_code&code=c", false),
        ] {
            assert_eq!(may_repeat(form.as_bytes()), repeated, "{form}");
        }
    }

    #[test]
    fn a_closed_connection_is_known_however_deep_its_error_is() {
        let nested = |inner: BoxError| -> BoxError {
            TokenError::new(TokenErrorKind::Connect, "outer")
                .with_source(inner)
                .into()
        };
        for kind in [
            ErrorKind::ConnectionReset,
            ErrorKind::ConnectionAborted,
            ErrorKind::BrokenPipe,
            ErrorKind::UnexpectedEof,
        ] {
            let error = nested(nested(io::Error::from(kind).into()));
            assert!(was_closed(&*error), "{kind:?}");
            let within = io::Error::other(io::Error::from(kind));
            assert!(was_closed(&*nested(within.into())), "{kind:?}");
        }
        for words in WORDS {
            assert!(was_closed(&*nested(words.into())), "{words}");
        }
        for kind in [
            ErrorKind::ConnectionRefused,
            ErrorKind::TimedOut,
            ErrorKind::InvalidData,
            ErrorKind::Other,
        ] {
            assert!(
                !was_closed(&*nested(io::Error::from(kind).into())),
                "{kind:?}"
            );
        }
        assert!(!was_closed(&*nested("deadline has elapsed".into())));
    }
}
