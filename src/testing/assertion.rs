//! The claims of assertions (RFC 7523, section 3). Signatures are not verified: the
//! server has no keys.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// Returns the claims of an assertion that has three parts and a signature, has not
/// expired by the wall clock, and is for one of these audiences.
pub(super) fn claims(assertion: &str, audiences: &[&str]) -> Result<Value, &'static str> {
    let mut parts = assertion.split('.');
    let (Some(head), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("The assertion is not a JWT");
    };
    let json = |part| {
        let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    };
    let (Some(head), Some(claims)) = (json(head), json(claims)) else {
        return Err("The assertion is not a JWT");
    };
    if signature.is_empty() || head["alg"].as_str().is_none_or(|alg| alg == "none") {
        return Err("The assertion is not signed");
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    if claims["exp"]
        .as_u64()
        .is_none_or(|end| end <= now.as_secs())
    {
        return Err("The assertion has expired or has no exp");
    }
    let named = |value: &Value| value.as_str().is_some_and(|text| audiences.contains(&text));
    let audience = &claims["aud"];
    if !named(audience) && !audience.as_array().is_some_and(|all| all.iter().any(named)) {
        return Err("The assertion is for another audience");
    }
    Ok(claims)
}
