//! The endpoints of the authorization server, in Keycloak's dialect.

use bytes::Bytes;
use http::header::ALLOW;
use http::request::Parts;
use http::{Method, Response, StatusCode};

use super::assertion;
use super::discovery;
use super::form::{Form, is_form};
use super::grants;
use super::refusal::Refusal;
use super::reply::{Edit, as_form, with_type};
use super::shared::Shared;
use super::voipex::exchange;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Token,
    Logout,
    Revoke,
    Discovery,
    /// VoIPex's exchange.
    Exchange,
}

impl Endpoint {
    /// Returns the endpoint at a path. All other paths belong to the API.
    pub(super) fn at(path: &str) -> Option<Self> {
        match path {
            "/token" => Some(Self::Token),
            "/logout" => Some(Self::Logout),
            "/revoke" => Some(Self::Revoke),
            "/token-exchange" => Some(Self::Exchange),
            _ if discovery::is_metadata(path) => Some(Self::Discovery),
            _ => None,
        }
    }

    /// Processes a request and responds. `body` is `None` if it could not be read.
    pub(super) fn respond(
        self,
        shared: &Shared,
        head: &Parts,
        body: Option<&[u8]>,
        edits: &[Edit],
    ) -> Response<Bytes> {
        let form = |respond: &dyn Fn(&Form) -> Result<Response<Bytes>, Refusal>| {
            self.form(shared, head, body)
                .and_then(|form| respond(&form))
        };
        let response = match self {
            Self::Token => form(&|form| grants::grant(shared, form, edits)),
            Self::Logout => form(&|form| log_out(shared, form)),
            Self::Revoke => form(&|form| revoke(shared, form)),
            Self::Discovery => Ok(discovery::metadata(shared, &head.method)),
            Self::Exchange => Ok(exchange::respond(shared, head, body, edits)),
        };
        let response = response.unwrap_or_else(Into::into);
        match shared.config.form_responses && self == Self::Token {
            true => as_form(response),
            false => response,
        }
    }

    /// Returns the request's form, once method, content type and client are checked.
    fn form(self, shared: &Shared, head: &Parts, body: Option<&[u8]>) -> Result<Form, Refusal> {
        if head.method != Method::POST {
            let what = "HTTP 405 Method Not Allowed";
            let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, what, "");
            return Err(refusal.with_header(ALLOW, "POST"));
        }
        let invalid = |what| Refusal::new(StatusCode::BAD_REQUEST, "invalid_request", what);
        let body = body.ok_or_else(|| invalid("The body broke off or is too large"))?;
        // A body of another type has no parameters.
        let form = Form::parse(if is_form(&head.headers) { body } else { b"" });
        if self == Self::Token && form.value("grant_type").is_none() {
            return Err(invalid("Missing form parameter: grant_type"));
        }
        // A logout without a token requests a page, which needs no client.
        if self != Self::Logout || form.value("refresh_token").is_some() {
            check_client(shared, head, &form)?;
        }
        if form.has_duplicates() {
            return Err(invalid("duplicated parameter"));
        }
        Ok(form)
    }
}

/// Refuses unknown clients and wrong secrets. A client without a secret is public, and
/// a secret that it sends is ignored.
fn check_client(shared: &Shared, head: &Parts, form: &Form) -> Result<(), Refusal> {
    let config = &shared.config;
    if config.client_assertion {
        return check_assertion(shared, form);
    }
    let code = match form.client(&head.headers) {
        None if config.client_secret.is_none() && grants::names_its_own_subject(form) => {
            return Ok(());
        }
        Some((id, secret)) if id == config.client_id => match &config.client_secret {
            Some(expected) if secret.as_ref() != Some(expected) => "unauthorized_client",
            _ => return Ok(()),
        },
        _ => "invalid_client",
    };
    let what = "Invalid client or Invalid client credentials";
    // Keycloak sends no challenge, although RFC 6749, section 5.2, requires one.
    Err(Refusal::new(StatusCode::UNAUTHORIZED, code, what))
}

/// Checks the client's assertion (RFC 7523, sections 2.2 and 3).
fn check_assertion(shared: &Shared, form: &Form) -> Result<(), Refusal> {
    const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let id = shared.config.client_id.as_str();
    let refuse = |what| Refusal::new(StatusCode::UNAUTHORIZED, "invalid_client", what);
    let (Some(TYPE), Some(assertion)) = (
        form.value("client_assertion_type"),
        form.value("client_assertion"),
    ) else {
        return Err(refuse("Parameter client_assertion is missing"));
    };
    let issuer = shared.issuer.as_str();
    let audiences = [&format!("{issuer}/token"), issuer];
    let claims = assertion::claims(assertion, &audiences).map_err(refuse)?;
    let claim = |name: &str| claims[name].as_str().unwrap_or_default();
    let client_id = form.value("client_id").unwrap_or(id);
    if [claim("iss"), claim("sub"), client_id]
        .iter()
        .any(|n| *n != id)
    {
        return Err(refuse("The assertion is not from this client"));
    }
    if claim("jti").is_empty() || !shared.write().use_assertion(claim("jti")) {
        return Err(refuse("The assertion was used before or has no jti"));
    }
    Ok(())
}

fn log_out(shared: &Shared, form: &Form) -> Result<Response<Bytes>, Refusal> {
    let Some(token) = form.value("refresh_token") else {
        // The page says so, although no session was ended.
        let page = Bytes::from_static(b"<html><body>You are logged out</body></html>");
        return Ok(with_type(StatusCode::OK, Some("text/html"), page));
    };
    if shared.write().log_out(token) {
        Ok(with_type(StatusCode::NO_CONTENT, None, Bytes::new()))
    } else {
        let what = "Invalid refresh token";
        Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_grant", what))
    }
}

/// Revokes a token. An unknown one gets a status of success too (RFC 7009, section
/// 2.2), with an error in the body.
fn revoke(shared: &Shared, form: &Form) -> Result<Response<Bytes>, Refusal> {
    let Some(token) = form.value("token") else {
        let what = "Token not provided";
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            what,
        ));
    };
    let mut state = shared.write();
    if state.log_out(token) || state.revoke_access_token(token) {
        return Ok(with_type(StatusCode::OK, None, Bytes::new()));
    }
    Ok(Refusal::new(StatusCode::OK, "invalid_token", "Invalid token").into())
}
