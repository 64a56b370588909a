//! Which failed requests are sent again: a pure decision.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};

/// What became of a request whose connection ended before a response came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The server may have read it. A server that closes an idle connection while a
    /// request is on its way has not, but that cannot be told.
    Unknown,
    /// It was never sent, or the server said that it has not processed it.
    NotProcessed,
}

/// hyper's messages for a connection that ended during a request. Errors of hyper
/// and h2 are recognized by their messages, because neither is linked in if a grant
/// has its own transport.
const UNKNOWN: [&str; 2] = [
    "connection closed before message completed",
    "channel closed",
];

/// The message of hyper-util's client if there was no connection yet.
const NO_CONNECTION: &str = "client error (Connect)";

/// Messages about a request that no server has processed.
const NOT_PROCESSED: [&str; 4] = [
    NO_CONNECTION,
    // hyper 1, `Error::is_canceled`: the connection was gone before it was written.
    "operation was canceled",
    // h2: RFC 9113, section 8.7.
    "stream error received: refused stream before processing any application logic",
    // h2, of a stream: GOAWAY names a lower last stream (the same section), whatever
    // its reason. An error that this side found is `detected` instead.
    "connection error received: ",
];

/// Returns what became of the request, if its connection was closed; `None` for
/// another failure.
pub(super) fn ended(error: &(dyn StdError + 'static)) -> Option<Ended> {
    let (mut was_closed, mut not_processed) = (false, false);
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<io::Error>();
        let words = error.to_string();
        let begins = |known: &&str| words.starts_with(known);
        // If no connection was made, only one that was closed is worth a retry.
        let no_connection = words.starts_with(NO_CONNECTION);
        let is_known = NOT_PROCESSED.iter().any(begins);
        not_processed |= is_known;
        was_closed |= (is_known && !no_connection)
            || UNKNOWN.iter().any(begins)
            || io.is_some_and(|io| is_closed(io.kind()));
        // `io::Error::source` skips the inner error and returns that one's source.
        next = match io.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    was_closed.then_some(match not_processed {
        true => Ended::NotProcessed,
        false => Ended::Unknown,
    })
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

/// Parameters that a server may accept only once: a refresh token that rotates (a
/// second use ends the session: RFC 9700, section 4.14.2), a code, an assertion
/// whose `jti` the server remembers (RFC 7523, section 3). And a password:
/// Keycloak's brute force detection refuses the right one while another login of the
/// user is in progress, as the one may be whose connection was closed.
const ONCE: [&[u8]; 5] = [
    b"refresh_token",
    b"code",
    b"assertion",
    b"client_assertion",
    b"password",
];

/// Returns whether a form may be sent again, although the server may have read it.
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
        use Ended::{NotProcessed, Unknown};
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
            assert_eq!(ended(&*error), Some(Unknown), "{kind:?}");
            let within = io::Error::other(io::Error::from(kind));
            assert_eq!(ended(&*nested(within.into())), Some(Unknown), "{kind:?}");
        }
        for (words, became) in [
            ("connection closed before message completed", Some(Unknown)),
            ("channel closed", Some(Unknown)),
            ("operation was canceled", Some(NotProcessed)),
            (
                "stream error received: refused stream before processing any application logic",
                Some(NotProcessed),
            ),
            (
                "connection error received: not a result of an error",
                Some(NotProcessed),
            ),
            (
                "connection error received: detected excessive load generating behavior (b\"x\")",
                Some(NotProcessed),
            ),
            // Refused by this side, or by an error that may come after the request
            // was processed.
            (
                "stream error detected: refused stream before processing any application logic",
                None,
            ),
            ("stream error received: stream no longer needed", None),
            (
                "connection error detected: unspecific protocol error detected",
                None,
            ),
        ] {
            assert_eq!(ended(&*nested(words.into())), became, "{words}");
        }
        for kind in [
            ErrorKind::ConnectionRefused,
            ErrorKind::TimedOut,
            ErrorKind::InvalidData,
            ErrorKind::Other,
        ] {
            let error = nested(io::Error::from(kind).into());
            assert_eq!(ended(&*error), None, "{kind:?}");
        }
        assert_eq!(ended(&*nested("deadline has elapsed".into())), None);
    }

    /// An error with the words of hyper-util's.
    #[derive(Debug)]
    struct NoConnection(io::Error);

    impl std::fmt::Display for NoConnection {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(NO_CONNECTION)
        }
    }

    impl StdError for NoConnection {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn a_connection_that_was_closed_in_its_handshake_has_carried_no_request() {
        let failed = |kind: ErrorKind| NoConnection(kind.into());
        assert_eq!(
            ended(&failed(ErrorKind::ConnectionReset)),
            Some(Ended::NotProcessed)
        );
        assert_eq!(ended(&failed(ErrorKind::ConnectionRefused)), None);
    }
}
