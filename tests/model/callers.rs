//! Those who come for a token, or for an answer of the API.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use http::{Request, Response};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tower::ServiceExt;
use tower_bearer::{AccessToken, Error, Outcome, TokenError, TokenErrorKind};

use crate::api::Number;
use crate::history::History;
use crate::reference::{Known, Moment, WAIT};
use crate::world::{State, World};

/// A caller who did not get an answer at once.
pub(crate) struct Caller(JoinHandle<()>);

impl Caller {
    pub(crate) fn is_done(&self) -> bool {
        self.0.is_finished()
    }

    pub(crate) fn leave(self) {
        self.0.abort();
    }
}

type Handed = Result<AccessToken, TokenError>;
type Answered = Result<Response<String>, Error<std::convert::Infallible>>;

impl History {
    /// Somebody comes, and perhaps leaves after a while.
    pub(crate) async fn call(&mut self, rng: &mut Rng) {
        let patience = match rng.u32(..3) {
            0 => Duration::from_millis(rng.u64(..40_000)),
            _ => Duration::from_secs(1000),
        };
        match rng.u32(..10) {
            0..=4 => self.ask(patience).await,
            5 => {
                let span = [10, 100, 1000, 2980][rng.usize(..4)];
                self.ask_for_longer(Duration::from_secs(span), patience)
                    .await;
            }
            _ => self.send(patience).await,
        }
    }

    fn valid(&self) -> (Option<Known>, Moment) {
        let state = self.world.lock();
        let now = state.now();
        (state.reference.valid(&now).copied(), now)
    }

    async fn ask(&mut self, patience: Duration) {
        let (valid, _) = self.valid();
        let tokens = self.tokens.clone();
        let mut future = Box::pin(async move { tokens.token().await });
        let at_once = poll_once(&mut future).await;
        let mut state = self.world.lock();
        match at_once {
            Poll::Ready(answer) => {
                state.check(valid.is_some() == answer.is_ok(), "failed beside a token");
                state.handed(&answer, None);
            }
            Poll::Pending => {
                state.check(valid.is_none(), "a wait while a valid token exists");
                drop(state);
                self.wait(future, patience, State::waited_for);
            }
        }
    }

    async fn ask_for_longer(&mut self, span: Duration, patience: Duration) {
        let (valid, now) = self.valid();
        let enough = valid.is_some_and(|token| lives_for(&token, span, &now));
        let longer = Longer::new(&self.world);
        let tokens = self.tokens.clone();
        let mut future = Box::pin(async move {
            let _longer = longer;
            tokens.token_valid_for(span).await
        });
        let at_once = poll_once(&mut future).await;
        let mut state = self.world.lock();
        match at_once {
            Poll::Ready(Err(error)) if error.kind() == TokenErrorKind::Config => {
                state.check(!enough, "failed beside a token that lives so long");
            }
            Poll::Ready(answer) => {
                state.check(enough == answer.is_ok(), "failed beside a token");
                state.handed(&answer, Some(span));
            }
            Poll::Pending => {
                state.check(!enough, "a wait while a valid token exists");
                drop(state);
                self.wait(future, patience, move |state, answer, waited| {
                    let config = |e: &TokenError| e.kind() == TokenErrorKind::Config;
                    if !answer.as_ref().is_err_and(config) {
                        state.in_time(answer.as_ref().err(), waited);
                        state.handed_to_waiter(&answer, Some(span));
                    }
                });
            }
        }
    }

    async fn send(&mut self, patience: Duration) {
        self.numbers += 1;
        let number = self.numbers;
        let (valid, _) = self.valid();
        let request = Request::get("https://api.test/").extension(Number(number));
        let request = request.body(()).expect("a request");
        let mut future = Box::pin(self.api.clone().oneshot(request));
        let at_once = poll_once(&mut future).await;
        let mut state = self.world.lock();
        let sent = state.sent.contains_key(&number);
        state.check(
            valid.is_some() == sent,
            "not sent at once with a valid token",
        );
        match at_once {
            Poll::Ready(answer) => state.answered(number, answer, Duration::ZERO),
            Poll::Pending => {
                drop(state);
                self.wait(future, patience, move |state, answer, waited| {
                    state.answered(number, answer, waited);
                });
            }
        }
    }

    fn wait<F: Future<Output: Send> + Send + 'static>(
        &mut self,
        future: Pin<Box<F>>,
        patience: Duration,
        judge: impl FnOnce(&mut State, F::Output, Duration) + Send + 'static,
    ) {
        let world: World = self.world.clone();
        let start = Instant::now();
        self.callers.push(Caller(tokio::spawn(async move {
            if let Ok(answer) = timeout(patience, future).await {
                judge(&mut world.lock(), answer, start.elapsed());
            }
        })));
    }
}

impl State {
    /// At once: the token in use, or an error from memory during a pause.
    fn handed(&mut self, answer: &Handed, span: Option<Duration>) {
        let now = self.now();
        if answer.is_err() {
            let held = self.reference.may_deny(span.is_some(), &now);
            self.check(held, "failed from memory after the pause");
        }
        self.handed_to_waiter(answer, span);
    }

    fn waited_for(&mut self, answer: Handed, waited: Duration) {
        self.in_time(answer.as_ref().err(), waited);
        self.handed_to_waiter(&answer, None);
    }

    fn handed_to_waiter(&mut self, answer: &Handed, span: Option<Duration>) {
        let now = self.now();
        let Ok(token) = answer else {
            return;
        };
        let serial = token.secret().strip_prefix('a').map(str::parse);
        let known = self.reference.valid(&now).copied();
        let known = known.filter(|known| serial == Some(Ok(known.serial)));
        self.check(
            known.is_some(),
            "handed out another token than the one in use",
        );
        if let (Some(known), Some(span)) = (known, span) {
            self.check(lives_for(&known, span, &now), "handed out too short a life");
        }
    }

    fn answered(&mut self, number: u64, answer: Answered, waited: Duration) {
        match answer {
            Ok(response) => {
                let outcome = response.extensions().get::<Outcome>();
                let rejected = response.status() == 401;
                self.check(outcome.is_some() || !rejected, "a 401 without a reason");
                let error = response.extensions().get::<TokenError>();
                let failed = outcome == Some(&Outcome::RenewalFailed);
                self.check(failed == error.is_some(), "an outcome of another error");
                self.check(rejected || !failed, "a renewal that no 401 called for");
                self.in_time(error, waited);
            }
            Err(Error::Token(error)) => {
                let sent = self.sent.contains_key(&number);
                self.check(!sent, "a token's error in place of the API's answer");
                self.in_time(Some(&error), waited);
            }
            Err(Error::Inner(never)) => match never {},
        }
    }

    fn in_time(&mut self, error: Option<&TokenError>, waited: Duration) {
        match error.map(TokenError::kind) {
            Some(TokenErrorKind::WaitTimeout) => {
                self.check(waited >= WAIT, "gave up before the caller's deadline");
            }
            Some(TokenErrorKind::NoRuntime | TokenErrorKind::RelativeUri) => {
                self.check(false, "an error out of nowhere");
            }
            _ => {}
        }
    }
}

/// Somebody who asks for more life than the token in use may have.
struct Longer(World);

impl Longer {
    fn new(world: &World) -> Self {
        world.lock().longer += 1;
        Self(world.clone())
    }
}

impl Drop for Longer {
    fn drop(&mut self) {
        self.0.lock().longer -= 1;
    }
}

fn lives_for(token: &Known, span: Duration, now: &Moment) -> bool {
    let needed = token.born.age(now) + span;
    token.end().is_none_or(|end| needed <= end)
}

async fn poll_once<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}
