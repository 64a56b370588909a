//! The embedded server's exchange and its API, as VoIPex documents them.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_bearer::TokenCache;
use tower_bearer::testing::{ApiRejection, TokenServer};

use crate::world::{ACCESS, access, company, login};

struct Answer {
    status: StatusCode,
    challenge: Option<String>,
    body: Value,
}

async fn ask(server: &TokenServer, token: Option<&str>, line: &str, body: &str) -> Answer {
    let (method, path) = line.split_once(' ').expect("a method and a path");
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://localhost{path}"))
        .header(CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Full::<Bytes>::from(body.to_owned()));
    let response = server.service().oneshot(request.expect("a request"));
    let (head, body) = response.await.expect("an answer").into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let challenge = head.headers.get(WWW_AUTHENTICATE);
    Answer {
        status: head.status,
        challenge: challenge.map(|it| it.to_str().expect("ascii").to_owned()),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    }
}

async fn token(tokens: &TokenCache) -> String {
    tokens.token().await.expect("a token").secret().to_owned()
}

const EXCHANGE: &str = "POST /token-exchange";

#[tokio::test]
async fn the_exchange_answers_a_token_of_the_user_whom_it_names() {
    for refreshable in [true, false] {
        let builder = TokenServer::builder();
        let server = match refreshable {
            true => company(2, builder),
            false => company(2, builder.no_refresh_tokens_from_exchange()),
        };
        let access = token(&access(&server)).await;
        let body = json!({ "email": login(1) }).to_string();
        let answer = ask(&server, Some(&access), EXCHANGE, &body).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body["expires_in"], 3000);
        assert_eq!(answer.body["token_type"], "Bearer");
        assert_eq!(answer.body["scope"], "profile email");
        assert_eq!(answer.body["refresh_token"].is_string(), refreshable);
        let user = answer.body["access_token"].as_str().expect("a token");
        assert_eq!(ask(&server, Some(user), "GET /calls", "").await.status, 200);
    }
}

#[tokio::test]
async fn the_exchange_refuses_whoever_may_not_make_it() {
    let server = company(2, TokenServer::builder());
    let access = token(&access(&server)).await;
    let user = TokenCache::new(server.grant_for(login(0), "unknown to the app"));
    let user = token(&user).await;
    server.disable_user(&login(1));
    let ok = json!({ "email": login(0) }).to_string();
    let disabled = json!({ "email": login(1) }).to_string();
    for (token, line, body, status) in [
        (None, EXCHANGE, ok.as_str(), 401),
        (Some("x.y.z"), EXCHANGE, &ok, 401),
        (Some(&*user), EXCHANGE, &ok, 403),
        (Some(&*access), EXCHANGE, "", 400),
        (Some(&*access), EXCHANGE, "email=a", 400),
        (Some(&*access), EXCHANGE, r#"{"email":""}"#, 400),
        (Some(&*access), EXCHANGE, r#"{"email":1}"#, 400),
        (Some(&*access), EXCHANGE, r#"{"email":"nobody@x"}"#, 404),
        (Some(&*access), EXCHANGE, &disabled, 404),
        (Some(&*access), "GET /token-exchange", "", 404),
        (Some(&*access), EXCHANGE, &ok, 200),
    ] {
        let answer = ask(&server, token, line, body).await;
        assert_eq!(answer.status.as_u16(), status, "{line} {body}");
        if ![200, 401].contains(&status) {
            assert_eq!(answer.body["statusCode"], status, "hapi's JSON: {body}");
        }
    }
    server.set_impersonator(ACCESS, false);
    assert_eq!(ask(&server, Some(&access), EXCHANGE, &ok).await.status, 403);
    let counts = server.counts();
    assert_eq!((counts.exchange_requests, counts.exchanges), (12, 1));
}

#[tokio::test]
async fn a_dead_token_is_answered_as_keycloak_or_as_hapi_does() {
    for (rejection, dead, none, body) in [
        (
            ApiRejection::BearerChallenge,
            "Bearer realm=\"voipex\", error=\"invalid_token\", \
             error_description=\"The token is not active\"",
            "Bearer",
            json!({ "error": "invalid_token" }),
        ),
        (
            ApiRejection::TokenChallenge,
            "Token error=\"Expired token\"",
            "Token error=\"token is null\"",
            json!({ "statusCode": 401, "error": "Unauthorized", "message": "Expired token",
                    "attributes": { "error": "Expired token" } }),
        ),
    ] {
        let builder = TokenServer::builder().api_rejection(rejection);
        let server = company(1, builder.voipex_api());
        for line in ["GET /calls", EXCHANGE] {
            let answer = ask(&server, Some("dead"), line, "").await;
            assert_eq!(answer.status, 401);
            assert_eq!(answer.challenge.as_deref(), Some(dead));
            assert_eq!(answer.body, body);
            let answer = ask(&server, None, line, "").await;
            assert_eq!(answer.challenge.as_deref(), Some(none));
        }
        assert_eq!(server.counts().api_unauthorized, 2);
    }
}

#[tokio::test]
async fn calls_and_sms_are_json_in_and_out_and_belong_to_their_user() {
    let server = company(2, TokenServer::builder().voipex_api());
    let access = access(&server);
    let mut tokens = Vec::new();
    for number in 0..2 {
        let user = TokenCache::new(server.impersonation(&access, login(number)));
        tokens.push(token(&user).await);
    }
    let anna = Some(tokens[0].as_str());
    let calls = ask(&server, anna, "GET /calls", "").await;
    assert_eq!(calls.body[0]["user"], login(0));
    let numbers = ask(&server, anna, "GET /SMS/allowed-numbers", "").await;
    let from = numbers.body[0].as_str().expect("a number").to_owned();
    let sms = json!({ "from": from, "to": "+420607608609", "text": "Ahoj, světe!" });
    let sent = ask(&server, anna, "POST /SMS", &sms.to_string()).await;
    assert_eq!(
        (sent.status.as_u16(), &sent.body["text"]),
        (200, &sms["text"])
    );
    let history = "GET /SMS?startTime=2021-09-01T00%3A00%3A00.000%2B02%3A00";
    assert_eq!(
        ask(&server, anna, history, "").await.body,
        json!([sent.body])
    );
    let others = ask(&server, Some(&tokens[1]), "GET /SMS", "").await;
    assert_eq!(others.body, json!([]));

    let list = json!({ "name": "l", "numbers": [{ "number": "123456789", "attributes": [] }] });
    let list = ask(&server, anna, "POST /dialer/call-lists", &list.to_string()).await;
    let expected = json!({
        "id": 1, "message": "Call list successfully created", "numbersCount": 1
    });
    assert_eq!(list.body, expected);
    assert_eq!(
        ask(&server, anna, "GET /ivr", "").await.body[0]["name"],
        "IVR-app-name"
    );
    let instant = json!({ "from": "222333444", "to": "777888999", "message": "Message text" });
    let instant = ask(&server, anna, "POST /v1/sms", &instant.to_string()).await;
    assert_eq!(instant.status, 200);
    for (line, body, status) in [
        ("POST /SMS", "", 400),
        ("POST /SMS", "{}", 400),
        ("POST /SMS", r#"{"from":"+1","to":"+2","text":"x"}"#, 400),
        ("POST /v1/sms", r#"{"text":"x"}"#, 400),
        ("POST /dialer/call-lists", r#"{"name":"l"}"#, 400),
        ("DELETE /calls", "", 404),
        ("GET /nothing", "", 404),
    ] {
        let answer = ask(&server, anna, line, body).await;
        assert_eq!(answer.status.as_u16(), status, "{line} {body}");
        assert_eq!(answer.body["statusCode"], status);
    }
}
