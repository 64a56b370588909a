//! Sending a mock response.

use std::future::pending;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::Entry;
use http::{Response, StatusCode};

use super::body::{End, MockBody, closed, whole};
use super::mock_response::{Break, Kind, MockResponse};
use super::reply::{Edit, with_type};

impl MockResponse {
    pub(super) fn delay(&self) -> Option<Duration> {
        self.after
    }

    /// Returns whether the request's body is needed for the response.
    pub(super) fn is_echo(&self) -> bool {
        matches!(self.kind, Kind::Echo)
    }

    /// Returns the complete response, before anything goes wrong with it.
    pub(super) fn draft(
        &self,
        default: impl FnOnce(&[Edit]) -> Response<Bytes>,
        echo: impl FnOnce() -> Response<Bytes>,
    ) -> Response<Bytes> {
        let mut draft = match &self.kind {
            Kind::Default => default(&self.edits),
            Kind::Fixed(status, body) => with_type(*status, None, body.clone()),
            Kind::Echo => echo(),
            Kind::Endless => with_type(StatusCode::OK, None, Bytes::from_static(b"{")),
            Kind::Close | Kind::Hang => Response::new(Bytes::new()),
        };
        for (name, value) in &self.headers {
            match draft.headers_mut().entry(name.clone()) {
                Entry::Vacant(entry) => {
                    entry.insert(value.clone());
                }
                Entry::Occupied(mut entry) => entry.append(value.clone()),
            }
        }
        draft
    }

    /// Sends a draft, or what this mock response leaves of it.
    pub(super) async fn send(self, draft: Response<Bytes>) -> io::Result<Response<MockBody>> {
        match self.kind {
            Kind::Close => return Err(closed()),
            Kind::Hang => pending().await,
            _ => {}
        }
        Ok(match self.breaks {
            _ if matches!(self.kind, Kind::Endless) => {
                draft.map(|body| MockBody::new(body, End::Endless(None)))
            }
            None => whole(draft),
            Some(Break { at, close }) => draft.map(|body| MockBody::broken(body, at, close)),
        })
    }
}
