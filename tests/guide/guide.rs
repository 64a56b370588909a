//! Compiles the code of the guides in `src/guide`, and runs it where possible.
//! Separate from the crate, because it needs axum, tonic and others, which the crate
//! itself does without.
#![cfg(all(
    doctest,
    feature = "accounts",
    feature = "config",
    feature = "file-store",
    feature = "metrics",
    feature = "private-key-jwt",
    feature = "redis",
    feature = "reqwest-middleware",
    feature = "testing",
    feature = "tracing"
))]

macro_rules! guides {
    ($($name:ident)*) => {
        $(
            #[doc = include_str!(concat!("../../src/guide/", stringify!($name), ".md"))]
            pub mod $name {}
        )*
    };
}

guides! {
    accounts
    axum
    coming_from
    compile_errors
    configuration
    fleets
    getting_started
    grants
    hyper
    operations
    performance
    rejections
    reqwest
    security
    servers
    stacks
    testing
    tonic
    voipex
    what_happens_when
}
