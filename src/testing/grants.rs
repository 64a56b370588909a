//! The grants of the token endpoint.

use bytes::Bytes;
use http::{Response, StatusCode};

use super::counts::add;
use super::form::Form;
use super::mint::uuid;
use super::refusal::Refusal;
use super::reply::{Edit, Members};
use super::shared::Shared;
use super::state::{RefreshFault, Ticket};

const BAD_REQUEST: StatusCode = StatusCode::BAD_REQUEST;
const INVALID_GRANT: &str = "invalid_grant";

/// Answers a token request whose client is right.
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
        return Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "invalid_request",
            what,
        ));
    };
    let mut state = shared.write();
    let user = state.users.get(username);
    let wrong = user.is_none_or(|user| Some(user.password.as_str()) != form.value("password"));
    match user {
        // A disabled account is reported before the password is looked at.
        Some(user) if user.disabled => {
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
    let used = shared.write().use_refresh(token, shared.config.rotate);
    let ticket = used.map_err(|fault| {
        if matches!(fault, RefreshFault::Reused | RefreshFault::ReusedLate) {
            add(&shared.counters.refresh_token_replays);
        }
        Refusal::new(BAD_REQUEST, INVALID_GRANT, describe(fault))
    })?;
    add(&shared.counters.refresh_grants);
    Ok(issue(shared, ticket))
}

fn describe(fault: RefreshFault) -> &'static str {
    match fault {
        RefreshFault::Unknown => "Invalid refresh token",
        RefreshFault::Expired => "Token is not active",
        RefreshFault::Stale | RefreshFault::ReusedLate => "Stale token",
        RefreshFault::NoSession => "Session not active",
        RefreshFault::UserDisabled => "User disabled",
        RefreshFault::Reused => "Maximum allowed refresh token reuse exceeded",
    }
}

/// No session, and no refresh token (RFC 6749, section 4.4.3).
fn client_credentials(shared: &Shared) -> Result<Members, Refusal> {
    if shared.config.client_secret.is_none() {
        let what = "Public client not allowed to retrieve service account";
        return Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized_client",
            what,
        ));
    }
    add(&shared.counters.client_credentials_grants);
    let ticket = shared.write().ticket(None);
    Ok(issue(shared, ticket))
}

/// The members in the order that VoIPex sends them, all but the scope. Tokens
/// are made outside the lock, which the API needs.
fn issue(shared: &Shared, ticket: Ticket) -> Members {
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
        .filter(|_| ticket.session.is_some())
        .map(|life| (mint.refresh(ticket.refresh, session), life));

    let mut members = Members::new();
    members.add("access_token", access.as_str());
    members.add("expires_in", life.as_secs());
    members.add(
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
