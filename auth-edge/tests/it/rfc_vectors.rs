//! The examples of RFC 7515, RFC 7519, RFC 7797 and RFC 8037, by their published keys.

use mcsp_auth_edge::jose::{CompactJws, HeaderRules, JwsError, JwsKey, KeyUse, parse_key_set};
use serde_json::{Value, json};

/// The payload of RFC 7515 appendix A.1 to A.3.
const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn key(jwk: Value) -> JwsKey {
    let mut jwk = jwk;
    jwk["kid"] = json!("example");
    let set = json!({ "keys": [jwk] }).to_string();
    parse_key_set(&set, KeyUse::Agreed)
        .expect("a set")
        .remove(0)
}

fn payload(token: &str, key: &JwsKey) -> Result<String, JwsError> {
    let payload = CompactJws::parse(token, HeaderRules::Foreign)?.verify(key)?;
    Ok(String::from_utf8(payload).expect("text"))
}

fn hmac() -> JwsKey {
    key(json!({
        "kty": "oct",
        "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    }))
}

fn rsa() -> JwsKey {
    key(json!({
        "kty": "RSA", "e": "AQAB",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    }))
}

fn p256() -> JwsKey {
    key(json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }))
}

fn ed25519() -> JwsKey {
    key(json!({
        "kty": "OKP", "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }))
}

fn examples() -> [(String, JwsKey); 4] {
    let rs256 = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let es256 =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let hs256 = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let eddsa = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    [
        (
            format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.{hs256}"),
            hmac(),
        ),
        (format!("eyJhbGciOiJSUzI1NiJ9.{JOE}.{rs256}"), rsa()),
        (format!("eyJhbGciOiJFUzI1NiJ9.{JOE}.{es256}"), p256()),
        (eddsa.to_owned(), ed25519()),
    ]
}

#[test]
fn the_examples_verify_with_their_keys_and_no_others() {
    for (token, own) in examples() {
        let payload_text = payload(&token, &own).expect("the example verifies");
        assert!(
            payload_text.contains("\"joe\"") || payload_text == "Example of Ed25519 signing",
            "{payload_text}"
        );
        for (_, other) in examples() {
            if other.algorithm != own.algorithm {
                assert_eq!(payload(&token, &other), Err(JwsError::Algorithm));
            }
        }
    }
}

#[test]
fn none_of_their_characters_may_change() {
    for (token, key) in examples() {
        for at in 0..token.len() {
            for replacement in ["A", "B", "_", ".", "=", "+", "/", " ", "\n"] {
                if token[at..].starts_with(replacement) {
                    continue;
                }
                let changed = format!("{}{replacement}{}", &token[..at], &token[at + 1..]);
                assert!(payload(&changed, &key).is_err(), "{at} {replacement:?}");
            }
        }
    }
}

#[test]
fn unsecured_and_unencoded_examples_are_refused() {
    let unsecured = format!("eyJhbGciOiJub25lIn0.{JOE}.");
    // RFC 7797 section 4.2: detached and unencoded.
    let detached = "eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19..A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY";
    let unencoded = detached.replace("..", ".$.02.");
    // RFC 7516 appendix A.1: five parts.
    let encrypted = "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.b2s.48V1_ALb6US04U3b.5eym8T.XFBoMYUZodetZdvTiFvSkQ";
    for token in [&unsecured, detached, &unencoded, encrypted] {
        for (_, key) in examples() {
            assert_eq!(payload(token, &key), Err(JwsError::Malformed), "{token}");
        }
    }
    // RFC 7515 appendix A.4's algorithm.
    let es512 = format!("eyJhbGciOiJFUzUxMiJ9.{JOE}.AAAA");
    for (_, key) in examples() {
        assert!(payload(&es512, &key).is_err());
    }
}
