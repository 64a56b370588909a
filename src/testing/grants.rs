//! The grants of the token endpoint.

use bytes::Bytes;
use http::{Response, StatusCode};

use super::assertion;
use super::counts::add;
use super::form::Form;
use super::mint::uuid;
use super::refusal::{RefreshError, Refusal};
use super::reply::{Edit, Members};
use super::shared::Shared;
use super::state::Ticket;

const BAD_REQUEST: StatusCode = StatusCode::BAD_REQUEST;
const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;
const INVALID_GRANT: &str = "invalid_grant";
const INVALID_REQUEST: &str = "invalid_request";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// Responds to a token request whose client is checked.
pub(super) fn grant(
    shared: &Shared,
    form: &Form,
    edits: &[Edit],
) -> Result<Response<Bytes>, Refusal> {
    let scope = form.value("scope").unwrap_or("profile email");
    let mut members = match form.value("grant_type") {
        Some("password") => password(shared, form),
        Some("refresh_token") => refresh(shared, form),
        Some("client_credentials") => client_credentials(shared),
        Some(JWT_BEARER) => jwt_bearer(shared, form),
        Some(TOKEN_EXCHANGE) => token_exchange(shared, form),
        _ => {
            let what = "Unsupported grant_type";
            Err(Refusal::new(BAD_REQUEST, "unsupported_grant_type", what))
        }
    }?;
    members.add("scope", scope);
    members.edit(edits);
    Ok(members.into_response())
}

fn password(shared: &Shared, form: &Form) -> Result<Members, Refusal> {
    let config = &shared.config;
    if !config.direct_grants {
        let what = "Client not allowed for direct access grants";
        return Err(Refusal::new(BAD_REQUEST, "unauthorized_client", what));
    }
    let Some(username) = form.value("username") else {
        let what = "Missing parameter: username";
        return Err(Refusal::new(UNAUTHORIZED, "invalid_request", what));
    };
    let mut state = shared.write();
    let user = state.users.get(username);
    let wrong = user.is_none_or(|user| Some(user.password.as_str()) != form.value("password"));
    match user {
        // Keycloak up to 26.5 reports a disabled account before it looks at the
        // password.
        Some(user) if user.disabled && (!wrong || config.wrong_password_status == UNAUTHORIZED) => {
            return Err(Refusal::new(BAD_REQUEST, INVALID_GRANT, "Account disabled"));
        }
        Some(user) if !wrong && user.action_required => {
            let what = "Account is not fully set up";
            return Err(Refusal::new(BAD_REQUEST, INVALID_GRANT, what));
        }
        Some(_) if !wrong => {}
        _ => {
            let status = config.wrong_password_status;
            return Err(Refusal::new(
                status,
                INVALID_GRANT,
                "Invalid user credentials",
            ));
        }
    }
    if config.one_refresh_token_per_account {
        state.end_refresh_tokens_of(username);
    }
    let session = state.open_session(username, uuid(), config.access_lifetime);
    let ticket = state.ticket(Some(session));
    drop(state);
    add(&shared.counters.password_grants);
    Ok(issue(shared, ticket))
}

fn refresh(shared: &Shared, form: &Form) -> Result<Members, Refusal> {
    let Some(token) = form.value("refresh_token") else {
        return Err(Refusal::new(
            BAD_REQUEST,
            "invalid_request",
            "No refresh token",
        ));
    };
    let config = &shared.config;
    let mut state = shared.write();
    let used = state.use_refresh(token, config.rotate, config.refresh_ends_access_tokens);
    drop(state);
    let ticket = used.map_err(|error| {
        if matches!(error, RefreshError::Reused | RefreshError::ReusedLate) {
            add(&shared.counters.refresh_token_reuses);
        }
        Refusal::new(BAD_REQUEST, INVALID_GRANT, error.description())
    })?;
    add(&shared.counters.refresh_grants);
    Ok(issue(shared, ticket))
}

/// Issues a token without a session, and no refresh token (RFC 6749, section 4.4.3).
fn client_credentials(shared: &Shared) -> Result<Members, Refusal> {
    let config = &shared.config;
    if config.client_secret.is_none() && !config.client_assertion && !config.client_certificate {
        let what = "Public client not allowed to retrieve service account";
        return Err(Refusal::new(UNAUTHORIZED, "unauthorized_client", what));
    }
    add(&shared.counters.client_credentials_grants);
    let ticket = shared.write().ticket(None);
    Ok(issue(shared, ticket))
}

/// Returns whether a public client may omit its id (RFC 7521, section 4.1).
pub(super) fn names_its_own_subject(form: &Form) -> bool {
    let grant = form.value("grant_type");
    grant.is_some_and(|grant| [JWT_BEARER, TOKEN_EXCHANGE].contains(&grant))
}

/// Exchanges an assertion about a user who may log in for an access token (RFC 7523,
/// section 3), without a refresh token (RFC 7521, section 4.1).
fn jwt_bearer(shared: &Shared, form: &Form) -> Result<Members, Refusal> {
    let Some(assertion) = form.value("assertion") else {
        let what = "Missing parameter: assertion";
        return Err(Refusal::new(BAD_REQUEST, INVALID_REQUEST, what));
    };
    let refuse = |what| Refusal::new(BAD_REQUEST, INVALID_GRANT, what);
    let issuer = shared.issuer.as_str();
    let audiences = [&format!("{issuer}/token"), issuer];
    let claims = assertion::claims(assertion, &audiences).map_err(refuse)?;
    if claims["iss"].as_str().is_none_or(str::is_empty) {
        return Err(refuse("The assertion has no issuer"));
    }
    let mut state = shared.write();
    let user = claims["sub"]
        .as_str()
        .and_then(|name| state.users.get(name));
    if user.is_none_or(|user| user.disabled) {
        return Err(refuse("The subject of the assertion is unknown"));
    }
    let ticket = state.ticket(None);
    drop(state);
    add(&shared.counters.jwt_bearer_grants);
    Ok(issue(shared, ticket))
}

/// Exchanges a valid access token for another one of the same session, without a refresh
/// token (RFC 8693).
fn token_exchange(shared: &Shared, form: &Form) -> Result<Members, Refusal> {
    let refuse = |what| Refusal::new(BAD_REQUEST, INVALID_REQUEST, what);
    let subject = form
        .value("subject_token")
        .ok_or(refuse("Missing parameter: subject_token"));
    let subject = subject?;
    if form.value("subject_token_type") != Some(ACCESS_TOKEN) {
        return Err(refuse("Only access tokens are exchanged"));
    }
    if form
        .value("requested_token_type")
        .is_some_and(|t| t != ACCESS_TOKEN)
    {
        return Err(refuse("Only access tokens are issued"));
    }
    if form.value("actor_token").is_some() != form.value("actor_token_type").is_some() {
        return Err(refuse("An actor token needs its type"));
    }
    let mut state = shared.write();
    let Some(session) = state.session_of(subject.as_bytes()) else {
        return Err(refuse("Invalid token"));
    };
    let mut ticket = state.ticket(session);
    ticket.refreshable = false;
    drop(state);
    add(&shared.counters.token_exchange_grants);
    let mut members = issue(shared, ticket);
    members.add("issued_token_type", ACCESS_TOKEN);
    Ok(members)
}

/// Returns the members in the order in which VoIPex sends them, except the scope.
/// Tokens are created outside the lock, which the API needs.
pub(super) fn issue(shared: &Shared, ticket: Ticket) -> Members {
    let (config, mint) = (&shared.config, &shared.mint);
    let session = &ticket.session_name;
    let life = config.access_lifetime;
    let access = mint.access(
        ticket.access,
        &config.client_id,
        &ticket.user,
        session,
        life,
    );
    let refresh = config
        .refresh_lifetime
        .filter(|_| ticket.session.is_some() && ticket.refreshable)
        .map(|life| (mint.refresh(ticket.refresh, session), life));

    let mut members = Members::new();
    members.add("access_token", access.as_str());
    let mut add_lifetime = |name, seconds: u64| match config.lifetimes_as_text {
        true => members.add(name, seconds.to_string()),
        false => members.add(name, seconds),
    };
    add_lifetime("expires_in", life.as_secs());
    add_lifetime(
        "refresh_expires_in",
        refresh.as_ref().map_or(0, |(_, life)| life.as_secs()),
    );
    if let Some((token, _)) = &refresh {
        members.add("refresh_token", token.as_str());
    }
    members.add("token_type", "Bearer");
    members.add("not-before-policy", ticket.not_before);
    if ticket.session.is_some() {
        members.add("session_state", session.as_str());
    }
    shared.write().add_tokens(&ticket, (access, life), refresh);
    members
}
