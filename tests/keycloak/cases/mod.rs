//! The cases, in the order in which they run.

mod answers;
mod disabled;
mod ended;
mod ending;
mod fleet;
mod grants;
mod herd;
mod maximum;
mod network;
mod plain;
mod refused;
mod restart;
mod rotation;
mod stale;
mod wrong_password;

use crate::running::{Case, cases};
use crate::world::World;

pub(crate) const ALL: &[Case<World>] = cases![
    answers::what_the_server_answers,
    herd::a_thousand_cold_callers_make_one_token_request,
    fleet::a_fleet_with_a_store_logs_in_once,
    grants::client_credentials::a_secret_serves_in_the_header_and_in_the_form,
    grants::private_key_jwt::keys_of_each_sort_serve_for_a_secret,
    grants::mutual_tls::a_certificate_serves_for_a_secret,
    grants::token_exchange::a_users_token_is_exchanged_for_another,
    grants::refresh_token::a_token_that_the_user_brings_is_stored_as_it_rotates,
    grants::discovery::an_issuer_tells_where_to_ask_and_where_to_end,
    grants::jwt_bearer::an_assertion_of_nobody_known_is_refused_once,
    grants::extension::any_grant_serves_by_its_name,
    wrong_password::a_wrong_password_is_tried_once,
    ended::a_session_that_is_ended_under_load_costs_one_login,
    stale::not_before_pushed_under_load_fails_nobody,
    rotation::a_hundred_renewals_with_rotation_make_one_session,
    maximum::a_session_near_its_maximum_is_followed_by_another,
    maximum::a_refresh_that_is_refused_falls_back_in_the_same_flight,
    plain::without_refresh_tokens_the_password_serves,
    disabled::a_disabled_user_is_refused_and_served_once_enabled,
    refused::what_is_set_up_wrongly_is_named_after_one_attempt,
    network::on_a_bad_network_each_caller_ends_in_time,
    ending::revoke_and_shutdown_leave_no_session,
    restart::a_restart_within_a_tokens_life_fails_nobody,
    restart::an_outage_longer_than_a_tokens_life_is_told_and_got_over,
];
