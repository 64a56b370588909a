//! The grants, each by what is its own.

mod client_credentials;
mod extension;
mod jwt_bearer;
mod password;
mod refresh;
mod token_exchange;
mod voipex;

pub use client_credentials::{ClientCredentials, ClientCredentialsGrant};
pub use extension::{Extension, ExtensionGrant};
pub use jwt_bearer::{JwtBearer, JwtBearerGrant};
pub use password::{Password, PasswordGrant};
pub use refresh::{Refresh, RefreshTokenGrant};
pub use token_exchange::{TokenExchange, TokenExchangeGrant};
