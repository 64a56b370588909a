//! A client signs with its private key. The run generates the keys, and an
//! administrator creates the clients that have them.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData,
    SignatureAlgorithm,
};
use serde_json::{Value, json};
use tower_bearer::TokenCache;
use tower_bearer::grant::{ClientAuth, ClientCredentialsGrant, PrivateKey, SignedJwt};

use super::{CALLS, refused, renewed_once};
use crate::api::Check;
use crate::stack::Kind;
use crate::world::{CASES, World};

const KEY_ID: &str = "of the run";

pub(crate) async fn keys_of_each_sort_serve_for_a_secret(world: Arc<World>) -> String {
    let api = world.api(Check::Introspection).await;
    let (realm, mut found) = (world.realm(), String::new());
    let issuer = format!("{}/realms/{CASES}", world.keycloak.url());
    let sorts = [
        ("RS256", &PKCS_RSA_SHA256),
        ("ES256", &PKCS_ECDSA_P256_SHA256),
        ("EdDSA", &PKCS_ED25519),
    ];
    for (name, sort) in sorts {
        let client = format!("service-{name}");
        let key = pair(sort);
        let keys = json!({ "keys": [public(name, &key)] });
        realm.add_client(representation(&client, name, &keys)).await;
        let endpoint = world.token_url(CASES);
        let cache = |jwt| cache(&endpoint, &client, jwt);
        renewed_once(&cache(SignedJwt::new(private(&key))), &api).await;
        let to_the_issuer = SignedJwt::new(private(&key)).audience(&issuer);
        renewed_once(&cache(to_the_issuer), &api).await;
        let another = SignedJwt::new(private(&pair(sort)));
        let error = refused(&cache(another), &api).await;
        let tally = realm.tally(&client).await;
        assert_eq!(tally, "4 CLIENT_LOGIN, 1 CLIENT_LOGIN_ERROR", "{name}");
        found += &format!("{name}: {tally}, with another key: {error}; ");
    }
    format!("{found}{CALLS} calls for each token")
}

fn cache(endpoint: &str, client: &str, jwt: SignedJwt) -> TokenCache {
    let grant = ClientCredentialsGrant::new(endpoint, client).expect("https");
    let grant = grant.client_auth(ClientAuth::private_key_jwt(jwt));
    Kind::Hyper.tokens(grant).build().expect("settings")
}

fn pair(sort: &'static SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(sort).expect("a key")
}

fn private(key: &KeyPair) -> PrivateKey {
    let key = PrivateKey::from_pem(key.serialize_pem()).expect("a key");
    key.with_key_id(KEY_ID)
}

/// The public key as a JWK (RFC 7517; RFC 8037).
fn public(name: &str, key: &KeyPair) -> Value {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let raw = key.der_bytes();
    let mut jwk = match name {
        // A sequence of two integers, of which the first has 2048 bits and a
        // zero before them, and the second is 65537.
        "RS256" => {
            assert_eq!((raw.len(), &raw[265..]), (270, &[2, 3, 1, 0, 1][..]));
            json!({ "kty": "RSA", "n": encode(&raw[9..265]), "e": "AQAB" })
        }
        // 4, x and y.
        "ES256" => {
            let (x, y) = raw[1..].split_at(32);
            json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) })
        }
        _ => json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(raw) }),
    };
    jwk["kid"] = KEY_ID.into();
    jwk["alg"] = name.into();
    jwk["use"] = "sig".into();
    jwk
}

fn representation(client: &str, algorithm: &str, keys: &Value) -> Value {
    json!({
        "clientId": client,
        "enabled": true,
        "publicClient": false,
        "clientAuthenticatorType": "client-jwt",
        "directAccessGrantsEnabled": false,
        "standardFlowEnabled": false,
        "serviceAccountsEnabled": true,
        "attributes": {
            "token.endpoint.auth.signing.alg": algorithm,
            "use.jwks.string": "true",
            "jwks.string": keys.to_string(),
        },
        "protocolMappers": [{
            "name": "audience",
            "protocol": "openid-connect",
            "protocolMapper": "oidc-audience-mapper",
            "config": {
                "included.client.audience": "resource-server",
                "access.token.claim": "true",
                "introspection.token.claim": "true",
            },
        }],
    })
}
