//! Callers that need a token, or a response of the API.

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

use crate::cache::api::{HOSTS, Number};
use crate::cache::history::History;
use crate::cache::reference::LONGEST_WAIT;
use crate::cache::world::{State, World};
use crate::moment::{TICK, WAIT};

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

/// Whether a caller is served at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served {
    Yes,
    No,
    /// It is not, though a token is valid: a refresh token is on its way.
    Withheld,
    /// It may not be, because one is about to be.
    Perhaps,
}

type Handed = Result<AccessToken, TokenError>;
type Answered = Result<Response<String>, Error<std::convert::Infallible>>;

impl History {
    /// A caller comes, and perhaps leaves after a while.
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
            _ => self.send(rng, patience).await,
        }
    }

    /// Returns whether a caller that needs this much life is served at once.
    fn expected(&self, span: Duration) -> Served {
        let is_fetching = self.tokens.status().is_fetching;
        let state = self.world.lock();
        let now = state.now();
        let reference = &state.reference;
        let enough = reference
            .valid(&now)
            .is_some_and(|token| token.lives_for(span, &now));
        let exclusive = &reference.exclusive;
        match enough {
            false => Served::No,
            true if exclusive.on && state.refreshing => Served::Withheld,
            true if (exclusive.on || exclusive.unsure) && is_fetching => Served::Perhaps,
            true => Served::Yes,
        }
    }

    async fn ask(&mut self, patience: Duration) {
        let expected = self.expected(Duration::ZERO);
        let tokens = self.tokens.clone();
        let mut future = Box::pin(async move { tokens.token().await });
        let at_once = poll_once(&mut future).await;
        let mut state = self.world.lock();
        match at_once {
            Poll::Ready(answer) => {
                state.found(expected, answer.is_ok());
                state.handed(&answer, None);
            }
            Poll::Pending => {
                state.waits(expected);
                drop(state);
                self.wait(future, patience, State::waited_for);
            }
        }
    }

    async fn ask_for_longer(&mut self, span: Duration, patience: Duration) {
        let expected = self.expected(span);
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
                state.found(expected, false);
            }
            Poll::Ready(answer) => {
                state.found(expected, answer.is_ok());
                state.handed(&answer, Some(span));
            }
            Poll::Pending => {
                state.waits(expected);
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

    async fn send(&mut self, rng: &mut Rng, patience: Duration) {
        self.numbers += 1;
        let number = self.numbers;
        let expected = self.expected(Duration::ZERO);
        let host = HOSTS[rng.usize(..HOSTS.len())];
        let path = ["good", "bad"][rng.usize(..2)];
        let request = Request::get(format!("{host}/{path}")).extension(Number(number));
        let request = request.body(()).expect("a request");
        let mut future = Box::pin(self.api.clone().oneshot(request));
        let at_once = poll_once(&mut future).await;
        let mut state = self.world.lock();
        match state.sent.contains_key(&number) {
            true => state.found(expected, true),
            false => state.waits(expected),
        }
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
    /// A caller was answered at once.
    fn found(&mut self, expected: Served, served: bool) {
        let fine = match expected {
            Served::Yes => served,
            Served::No => !served,
            Served::Withheld => false,
            Served::Perhaps => true,
        };
        self.check(
            fine,
            "failed beside a token, or served during an exclusive refresh",
        );
    }

    /// A caller was not served at once.
    fn waits(&mut self, expected: Served) {
        self.check(
            expected != Served::Yes,
            "not served at once with a valid token",
        );
        if expected == Served::Perhaps {
            let now = self.now().awake;
            let since = *self.withheld_since.get_or_insert(now);
            let fine = now <= since + LONGEST_WAIT + TICK;
            self.check(fine, "a token withheld for too long before its refresh");
        }
    }

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
        let withheld = self.reference.exclusive.on && self.refreshing;
        self.check(!withheld, "handed out during an exclusive refresh");
        if let (Some(known), Some(span)) = (known, span) {
            self.check(known.lives_for(span, &now), "handed out too short a life");
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
                let held = outcome == Some(&Outcome::RenewalBackedOff);
                let verdict = self.verdicts.get(&number).copied().unwrap_or_default();
                let fine = verdict.renews.is_none_or(|renews| renews != held);
                self.check(
                    fine,
                    "a renewal backed off for another origin, or not at all",
                );
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

/// A caller that asks for more life than the token in use may have.
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

async fn poll_once<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}
