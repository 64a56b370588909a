//! The cases, in the order in which they run.

mod herd;
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
    herd::a_thousand_cold_callers_make_one_token_request,
    wrong_password::a_wrong_password_is_tried_once,
];
