//! VoIPex's APIs for the PBX, the dialer and SMS, as far as they are documented.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::sync::lock;
use crate::testing::api::{bearer, refusal};
use crate::testing::mint::uuid;
use crate::testing::reply::with_type;
use crate::testing::shared::Shared;

/// The number that every user may send from, as in the documentation.
const NUMBER: &str = "+420777888999";

/// Responds to a request whose body was read.
pub(in crate::testing) fn respond(shared: &Shared, head: &Parts, body: &[u8]) -> Response<Bytes> {
    if let Some(refusal) = refusal(shared, &head.headers) {
        return refusal;
    }
    let token = head.headers.get(AUTHORIZATION);
    let token = token.and_then(|value| bearer(value.as_bytes()));
    let user = token.and_then(|token| shared.read().user_of(token).map(str::to_owned));
    let user = user.unwrap_or_default();
    let body = || serde_json::from_slice::<Value>(body).unwrap_or_default();
    let response = match (&head.method, head.uri.path()) {
        (&Method::GET, "/calls") => Ok(calls(&user)),
        (&Method::GET, "/ivr") => Ok(ivr()),
        (&Method::POST, "/dialer/call-lists") => call_list(&body()),
        (&Method::GET, "/SMS/allowed-numbers") => Ok(json!([NUMBER])),
        (&Method::GET, "/SMS") => Ok(messages(shared, &user)),
        (&Method::POST, "/SMS") => send(shared, user, &body()),
        (&Method::POST, "/v1/sms") => text(&body(), "message").map(|_| json!({ "id": uuid() })),
        _ => Err((StatusCode::NOT_FOUND, "Not Found".to_owned())),
    };
    match response {
        Ok(body) => reply(StatusCode::OK, &body),
        Err((status, message)) => error(status, &message),
    }
}

/// Returns JSON, as hapi sends it.
fn reply(status: StatusCode, body: &Value) -> Response<Bytes> {
    let content_type = Some("application/json; charset=utf-8");
    with_type(status, content_type, body.to_string().into())
}

/// Returns an error with its message.
pub(super) fn error(status: StatusCode, message: &str) -> Response<Bytes> {
    let body = json!({
        "statusCode": status.as_u16(),
        "error": status.canonical_reason(),
        "message": message,
    });
    reply(status, &body)
}

type Answer = Result<Value, (StatusCode, String)>;

fn bad_request(message: String) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, message)
}

/// Returns a member that must be a text.
fn text<'a>(body: &'a Value, member: &str) -> Result<&'a str, (StatusCode, String)> {
    let text = body[member].as_str().filter(|text| !text.is_empty());
    text.ok_or_else(|| bad_request(format!("\"{member}\" is required")))
}

/// Returns one call of the user.
fn calls(user: &str) -> Value {
    json!([{ "id": 1, "from": "+420607608609", "to": NUMBER, "direction": "IN", "user": user }])
}

fn ivr() -> Value {
    json!([{
        "id": "TUxw53xCBf",
        "name": "IVR-app-name",
        "description": "",
        "routing": [{ "exten": "100", "ddi": NUMBER }],
    }])
}

fn call_list(body: &Value) -> Answer {
    text(body, "name")?;
    let numbers = body["numbers"].as_array();
    let numbers = numbers.ok_or_else(|| bad_request("\"numbers\" is required".to_owned()))?;
    Ok(json!({
        "id": 1,
        "message": "Call list successfully created",
        "numbersCount": numbers.len(),
    }))
}

/// Returns the messages of the user, with the members that a webhook gets.
fn messages(shared: &Shared, user: &str) -> Value {
    let messages = lock(&shared.messages);
    let of_user = messages.iter().filter(|(name, _)| name == user);
    of_user.map(|(_, message)| message.clone()).collect()
}

fn send(shared: &Shared, user: String, body: &Value) -> Answer {
    let (from, to, text) = (text(body, "from")?, text(body, "to")?, text(body, "text")?);
    if from != NUMBER {
        return Err(bad_request("\"from\" is not an allowed number".to_owned()));
    }
    let message = json!({
        "id": uuid(),
        "from": from,
        "to": to,
        "text": text,
        "direction": "OUT",
        "state": "DELIVERED",
    });
    lock(&shared.messages).push((user, message.clone()));
    Ok(message)
}
