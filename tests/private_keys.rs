//! Client assertions that are signed with a private key from PEM.

#![cfg(feature = "private-key-jwt")]

mod support;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaKeyPair, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use tower_bearer::grant::{ClientAuth, ClientCredentialsGrant, PrivateKey, SignedJwt, Signer};
use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{BoxError, TokenCache, TokenSource};

use support::scrap::Scrap;
use support::{Log, TOKEN, answer, endpoint};

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<_> = body.as_bytes().chunks(64).collect();
    let lines = lines.join(b"\n".as_slice());
    let lines = String::from_utf8(lines).expect("base64");
    format!("some words before\n-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
}

/// A key in each PEM form of its kind, its public key, and its algorithm.
struct Case {
    /// The algorithms, the default first, and what verifies each.
    algorithms: Vec<(&'static str, &'static dyn VerificationAlgorithm)>,
    pems: Vec<String>,
    public: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
    let rsa_der = AsDer::as_der(&rsa).expect("DER");
    // The key itself, after the 26 bytes that identify it as RSA.
    let pkcs1 = &rsa_der.as_ref()[26..];
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let p256_der = p256.to_pkcs8v1().expect("DER");
    let sec1 = p256.private_key().as_der().expect("DER");
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("a key");
    let p384_der = p384.to_pkcs8v1().expect("DER");
    let p384_sec1 = p384.private_key().as_der().expect("DER");
    let ed25519 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
    let ed25519_pair = Ed25519KeyPair::from_pkcs8(ed25519.as_ref()).expect("a key");
    vec![
        Case {
            algorithms: vec![
                ("RS256", &RSA_PKCS1_2048_8192_SHA256),
                ("RS384", &RSA_PKCS1_2048_8192_SHA384),
                ("RS512", &RSA_PKCS1_2048_8192_SHA512),
                ("PS256", &RSA_PSS_2048_8192_SHA256),
                ("PS384", &RSA_PSS_2048_8192_SHA384),
                ("PS512", &RSA_PSS_2048_8192_SHA512),
            ],
            pems: vec![
                pem("PRIVATE KEY", rsa_der.as_ref()),
                pem("RSA PRIVATE KEY", pkcs1),
            ],
            public: rsa.public_key().as_ref().to_vec(),
        },
        Case {
            algorithms: vec![("ES256", &ECDSA_P256_SHA256_FIXED)],
            pems: vec![
                pem("PRIVATE KEY", p256_der.as_ref()),
                pem("EC PRIVATE KEY", sec1.as_ref()),
            ],
            public: p256.public_key().as_ref().to_vec(),
        },
        Case {
            algorithms: vec![("ES384", &ECDSA_P384_SHA384_FIXED)],
            pems: vec![
                pem("PRIVATE KEY", p384_der.as_ref()),
                pem("EC PRIVATE KEY", p384_sec1.as_ref()),
            ],
            public: p384.public_key().as_ref().to_vec(),
        },
        Case {
            algorithms: vec![("EdDSA", &ED25519)],
            pems: vec![pem("PRIVATE KEY", ed25519.as_ref())],
            public: ed25519_pair.public_key().as_ref().to_vec(),
        },
    ]
}

/// The headers of an assertion.
fn head(message: &str) -> serde_json::Value {
    let head = URL_SAFE_NO_PAD.decode(message.split('.').next().expect("one"));
    serde_json::from_slice(&head.expect("base64url")).expect("JSON")
}

#[test]
fn a_key_signs_by_no_algorithm_of_another_kind() -> Result<(), BoxError> {
    for case in cases() {
        let key = PrivateKey::from_pem(&case.pems[0])?;
        for algorithm in ["RS256", "ES256", "ES384", "EdDSA", "HS256", "none", ""] {
            let is_its_own = case.algorithms.iter().any(|(own, _)| *own == algorithm);
            let result = key.clone().with_algorithm(algorithm);
            assert_eq!(result.is_ok(), is_its_own, "{algorithm}");
            if let Err(error) = result {
                assert!(error.to_string().contains(case.algorithms[0].0), "{error}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_is_named_by_its_hashes() -> Result<(), BoxError> {
    let key = PrivateKey::from_pem(&cases()[1].pems[0])?;
    let error = key.clone().with_certificate("hunter2").expect_err("none");
    assert_eq!(error.field(), "certificate");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    // The certificate is hashed as it is, whatever it contains.
    let key = key.with_certificate(pem("CERTIFICATE", b"abc"))?;
    let log = Log::default();
    let grant = ClientCredentialsGrant::new("https://a.example/token", "api")?
        .client_auth(ClientAuth::private_key_jwt(SignedJwt::new(key)))
        .transport(endpoint(&log, |_| answer(200, &[], TOKEN)));
    grant.fetch().await?;
    let body = log.all().remove(0).body;
    let head = head(body.rsplit_once("client_assertion=").expect("one").1);
    // The hashes of `abc` in FIPS 180-2.
    assert_eq!(head["x5t"], "qZk-NkcGgWq6PiVxeFDCbJzQ2J0");
    assert_eq!(
        head["x5t#S256"],
        "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"
    );
    Ok(())
}

#[tokio::test]
async fn each_kind_of_key_signs_what_its_public_key_verifies() -> Result<(), BoxError> {
    let server = TokenServer::builder().client_assertion().in_process();
    for case in cases() {
        for pem in &case.pems {
            let default = PrivateKey::from_pem(pem)?.with_key_id("k1");
            assert_eq!(default.algorithm(), case.algorithms[0].0);
            for (algorithm, verifies) in &case.algorithms {
                let public = UnparsedPublicKey::new(*verifies, &case.public);
                let key = default.clone().with_algorithm(algorithm)?;
                assert_eq!(key.algorithm(), *algorithm);
                let auth = ClientAuth::private_key_jwt(SignedJwt::new(key));
                let log = Log::default();
                let grant = || ClientCredentialsGrant::new(server.token_url(), "api");
                let sent = grant()?.client_auth(auth.clone());
                let sent = sent.transport(endpoint(&log, |_| answer(200, &[], TOKEN)));
                sent.fetch().await?;
                let body = log.all().remove(0).body;
                let assertion = body.rsplit_once("client_assertion=").expect("one").1;
                let (message, signature) = assertion.rsplit_once('.').expect("three parts");
                let signature = URL_SAFE_NO_PAD.decode(signature)?;
                public
                    .verify(message.as_bytes(), &signature)
                    .expect(algorithm);
                assert!(public.verify(b"another message", &signature).is_err());
                let head = head(message);
                assert_eq!(head["alg"], *algorithm);
                assert_eq!(head["kid"], "k1");

                let at_server = grant()?.client_auth(auth).transport(server.service());
                at_server.fetch().await?;
            }
        }
    }
    assert_eq!(server.counts().client_credentials_grants, 17);
    Ok(())
}

#[test]
fn another_kind_of_key_is_refused_and_not_quoted() {
    let p521 = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).expect("a key");
    let p521 = p521.to_pkcs8v1().expect("DER");
    let of_another_sort = "neither an RSA key";
    for (pem, reason) in [
        (String::new(), "no private key in PEM"),
        ("hunter2".into(), "no private key in PEM"),
        (pem("CERTIFICATE", b"hunter2"), "no private key in PEM"),
        (pem("PRIVATE KEY", b"hunter2"), of_another_sort),
        (pem("RSA PRIVATE KEY", b"hunter2"), of_another_sort),
        (pem("EC PRIVATE KEY", b"hunter2"), of_another_sort),
        (pem("PRIVATE KEY", p521.as_ref()), of_another_sort),
    ] {
        let error = PrivateKey::from_pem(&pem).expect_err(reason);
        assert_eq!(error.field(), "private_key");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(reason), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains(&STANDARD.encode("hunter2")));
    }
}

#[test]
fn a_key_in_a_file_is_read_and_a_fault_names_the_file() {
    let file = Scrap::new("key");
    let pem = cases().remove(1).pems.remove(0);
    file.write(&pem);
    let key = PrivateKey::from_pem_file(&file.0).expect("a key");
    let shown = format!("{key:?}");
    assert!(shown.contains("ES256") && !shown.contains("BEGIN"));
    for content in ["hunter2", ""] {
        file.write(content);
        let error = PrivateKey::from_pem_file(&file.0).expect_err("no key");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("tower-bearer-key-") && !shown.contains("hunter2"));
    }
    std::fs::remove_file(&file.0).expect("removed");
    let error = PrivateKey::from_pem_file(&file.0).expect_err("no file");
    assert!(error.to_string().contains("tower-bearer-key-"), "{error}");
}

#[tokio::test]
async fn a_key_in_a_file_can_be_replaced_by_another_of_its_algorithm() -> Result<(), BoxError> {
    let file = Scrap::new("replaced-key");
    let (first, second) = (cases().remove(1), cases().remove(1));
    file.write(&first.pems[0]);
    let key = PrivateKey::from_pem_file(&file.0)?;
    for case in [first, second] {
        file.write(&case.pems[0]);
        let signature = Signer::sign(&key, b"message").await?;
        UnparsedPublicKey::new(case.algorithms[0].1, &case.public)
            .verify(b"message", &signature)
            .expect("the key that is in the file now");
    }
    let other = cases().remove(2).pems.remove(0);
    for (content, reason) in [(other.as_str(), "another algorithm"), ("", "is empty")] {
        file.write(content);
        let error = Signer::sign(&key, b"message").await.expect_err(reason);
        assert!(error.to_string().contains(reason), "{error}");
    }
    Ok(())
}

/// Also if neither has a `kid`: the server may know either.
#[tokio::test]
async fn a_refused_key_of_a_client_is_no_refusal_of_another_one() -> Result<(), BoxError> {
    let (first, second) = (cases().remove(1), cases().remove(1));
    let cache = |case: &Case, answer: MockResponse| {
        let jwt = SignedJwt::new(PrivateKey::from_pem(&case.pems[0])?);
        let grant = ClientCredentialsGrant::new("https://keys.localhost/token", "c")?;
        let server = TokenServer::builder().in_process();
        server.token_endpoint().set_default(answer);
        let grant = grant.client_auth(ClientAuth::private_key_jwt(jwt));
        Ok::<_, BoxError>(TokenCache::new(grant.transport(server.service())))
    };
    let refusal = MockResponse::error(401, "invalid_client");
    let token = MockResponse::body(200, "application/json", TOKEN);
    assert!(cache(&first, refusal)?.token().await.is_err());
    assert!(cache(&first, token.clone())?.token().await.is_err());
    cache(&second, token)?.token().await?;
    Ok(())
}
