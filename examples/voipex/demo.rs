//! Calls the app, as its users would.

use std::time::Duration;

use http::{StatusCode, header::RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::json;
use tokio::{task::JoinSet, time::sleep};
use tower_bearer::testing::{MockResponse, TokenServer};

use crate::{USERS, login};

/// Counts of all requests, and of those not answered with 200.
pub(crate) struct Calls {
    pub(crate) requests: usize,
    pub(crate) failed: usize,
}

pub(crate) async fn run(server: &TokenServer, here: &str) -> Calls {
    let client = Client::new();
    let calls = |login: &str| client.get(format!("{here}/calls")).header("x-user", login);
    let show = async |what: &str, request: RequestBuilder| -> Response {
        let answer = request.send().await.expect("an answer");
        println!("{what}: {}", answer.status());
        answer
    };
    let readyz = || client.get(format!("{here}/readyz"));
    while show("/readyz", readyz()).await.status() != StatusCode::OK {
        sleep(Duration::from_millis(100)).await;
    }

    let refused = show(
        "a user whom VoIPex does not know",
        calls("nobody@company.example"),
    );
    assert_eq!(refused.await.status(), StatusCode::FORBIDDEN);

    // A 503 is retried once before the callers see it.
    let busy = MockResponse::status(503).retry_after("1");
    server.exchange_endpoint().enqueue([busy.clone(), busy]);
    let first = login(0);
    let answer = show("while the exchange is busy", calls(&first.0)).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let pause = answer.headers()[RETRY_AFTER].to_str().expect("ascii");
    let pause = pause.parse().expect("seconds");
    sleep(Duration::from_secs(pause)).await;

    server.api().enqueue([MockResponse::status(500)]);
    let answer = show("while the API fails", calls(&first.0)).await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);

    // All users at once, with tokens that VoIPex revokes in the middle.
    let mut everybody = JoinSet::new();
    let sms = json!({ "from": "+420777888999", "to": "+420607608609", "text": "Hello world!" });
    for number in 0..USERS {
        let user = login(number).0;
        let (list, user_calls) = (calls(&user), calls(&user));
        let send = client.post(format!("{here}/sms")).header("x-user", user);
        let send = send.body(sms.to_string());
        everybody.spawn(async move {
            let mut ok = 0;
            for request in [list, send, user_calls] {
                let answer = request.send().await.expect("an answer");
                ok += usize::from(answer.status() == StatusCode::OK);
            }
            ok
        });
    }
    sleep(Duration::from_millis(20)).await;
    server.revoke_access_tokens();
    let requests = 3 * USERS;
    let failed = requests - everybody.join_all().await.into_iter().sum::<usize>();
    let metrics = show("/metrics", client.get(format!("{here}/metrics"))).await;
    let metrics = metrics.text().await.expect("text");
    for line in metrics
        .lines()
        .filter(|line| line.contains("fetches_total{"))
    {
        println!("  {line}");
    }
    Calls { requests, failed }
}
