//! The cases, in the order in which they run.

mod cold;
mod idle;
mod logout;
mod renewals;
mod restart;
mod revoked;
mod wrong;

use crate::running::{Case, cases};
use crate::world::World;

pub(crate) const ALL: &[Case<World>] = cases![
    cold::two_hundred_cold_callers_make_one_token_request,
    cold::a_secret_of_other_characters_serves,
    renewals::five_renewals_under_load_fail_nobody,
    revoked::a_revoked_token_costs_one_renewal,
    idle::an_idle_pause_costs_nothing,
    idle::a_token_request_at_the_end_of_a_connections_life_succeeds,
    wrong::a_wrong_secret_is_tried_once,
    wrong::a_wrong_password_is_tried_once,
    logout::a_logout_ends_the_tokens_and_shutdown_the_requests,
    restart::a_restart_costs_one_fetch,
];
