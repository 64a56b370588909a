//! The kinds of [`Rejection`](crate::Rejection), for whoever has to name a type:
//! `BearerAuth<Channel, BufferBody<Body>, Rejection<Grpc>>`.

pub use crate::auth::{Grpc, GrpcBody, InBody, Statuses, Unauthorized, When};
