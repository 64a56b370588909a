//! The cases, in the order in which they run.

mod answers;
mod disabled;
mod ended;
mod ending;
mod herd;
mod maximum;
mod network;
mod plain;
mod refused;
mod restart;
mod rotation;
mod stale;
mod wrong_password;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::world::World;

/// What a case found, in words. It panics where it does not hold.
pub(crate) type Running = Pin<Box<dyn Future<Output = String> + Send>>;

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn(Arc<World>) -> Running,
}

macro_rules! cases {
    ($($path:path),* $(,)?) => {
        &[$(Case {
            name: stringify!($path),
            run: |world| Box::pin($path(world)),
        }),*]
    };
}

pub(crate) const ALL: &[Case] = cases![
    answers::what_the_server_answers,
    herd::a_thousand_cold_callers_make_one_token_request,
    wrong_password::a_wrong_password_is_tried_once,
    ended::a_session_that_is_ended_under_load_costs_one_login,
    stale::not_before_pushed_under_load_fails_nobody,
    rotation::a_hundred_renewals_with_rotation_make_one_session,
    maximum::a_session_near_its_maximum_is_followed_by_another,
    maximum::a_refresh_that_is_refused_falls_back_in_the_same_flight,
    plain::without_refresh_tokens_the_password_serves,
    disabled::a_disabled_user_is_refused_until_the_cache_is_reset,
    refused::what_is_set_up_wrongly_is_named_after_one_attempt,
    network::on_a_bad_network_each_caller_ends_in_time,
    ending::revoke_and_shutdown_leave_no_session,
    restart::a_restart_within_a_tokens_life_fails_nobody,
    restart::an_outage_longer_than_a_tokens_life_is_told_and_got_over,
];
