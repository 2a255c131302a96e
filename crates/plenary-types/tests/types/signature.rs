//! Client signatures follow RFC 9421, and cover all that a handler sees.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use plenary_types::{
    ClientSignature, Method, PrivateKey, Request, Signature, SignatureError, Timestamp,
    limits::{MAX_CLIENT_DRIFT_MS, MAX_NONCE_BYTES, MAX_OPERATION_AGE_MS},
    signature::{Parameters, content_digest, verify_content_digest},
    testing::{NOW, ORIGIN, client, request},
};

const CREATED: u64 = NOW.0 / 1000;

fn sign(request: &Request) -> ClientSignature {
    ClientSignature::sign(&client(1), request, ORIGIN, "nonce", CREATED).unwrap()
}

fn without_body() -> Request {
    Request {
        method: Method::Get,
        content_type: String::new(),
        ..request("/session/7/scan/PKG-1", "")
    }
}

#[test]
fn rfc_9421_b_2_6_signature_of_the_test_request() {
    // The key of B.1.4, the signature base and the signature of B.2.6. Its components are others
    // than ours, so the base is the RFC's text.
    let seed = STANDARD
        .decode("n4Ni+HpISpVObnQMW0wOhCKROaIKqKtW/2ZYb2p9KcU=")
        .unwrap();
    let key = PrivateKey::from_seed(seed.try_into().unwrap());
    let public = STANDARD.encode(key.public_key().0);
    assert_eq!(public, "JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=");
    let base = "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\
        \"@method\": POST\n\
        \"@path\": /foo\n\
        \"@authority\": example.com\n\
        \"content-type\": application/json\n\
        \"content-length\": 18\n\
        \"@signature-params\": (\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \
        \"content-length\");created=1618884473;keyid=\"test-key-ed25519\"";
    let signature =
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";
    let bytes = STANDARD.decode(signature).unwrap();
    let signature = Signature(bytes.try_into().unwrap());
    assert!(key.public_key().verify(base.as_bytes(), &signature));
    assert_eq!(key.sign(base.as_bytes()), signature);
}

#[test]
fn the_signature_base_is_written_as_rfc_9421_section_2_5_says() {
    // The request of RFC 9421, appendix B.2, with our components of it.
    let request = Request {
        method: Method::Post,
        target: "/foo?param=Value&Pet=dog".into(),
        content_type: "application/json".into(),
        body: "{\"hello\": \"world\"}".into(),
    };
    let key = client(1).public_key();
    let signature = ClientSignature::sign(
        &client(1),
        &request,
        "http://example.com",
        "b3k2pp5k7z",
        1618884473,
    );
    let params = format!(
        "(\"@method\" \"@target-uri\" \"content-digest\" \"content-type\");created=1618884473\
         ;nonce=\"b3k2pp5k7z\";keyid=\"{key}\";alg=\"ed25519\""
    );
    assert_eq!(
        signature.unwrap().base(&request),
        format!(
            "\"@method\": POST\n\
             \"@target-uri\": http://example.com/foo?param=Value&Pet=dog\n\
             \"content-digest\": sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:\n\
             \"content-type\": application/json\n\
             \"@signature-params\": {params}"
        )
    );
}

#[test]
fn content_digests_are_those_of_rfc_9530() {
    // Appendix B.1 and section 2 (the same content without its line feed).
    let with_line_feed = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
    assert_eq!(content_digest(b"{\"hello\": \"world\"}\n"), with_line_feed);
    let without = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
    assert_eq!(content_digest(b"{\"hello\": \"world\"}"), without);
    let empty = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
    assert_eq!(content_digest(b""), empty);

    assert_eq!(verify_content_digest(empty, b""), Ok(()));
    for header in [
        without,
        "",
        "sha-256=::",
        "sha-512=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
    ] {
        let refused = verify_content_digest(header, b"");
        assert_eq!(refused, Err(SignatureError::ContentDigest), "{header}");
    }
}

#[test]
fn a_signature_holds_for_its_request_and_no_other() {
    let signed = request("/session/start?a=1", "{\"operator_id\":\"OPR-001\"}");
    let signature = sign(&signed);
    assert_eq!(signature.verify(&signed), Ok(()));
    let others = [
        Request {
            method: Method::Put,
            ..signed.clone()
        },
        Request {
            target: "/session/start?a=2".into(),
            ..signed.clone()
        },
        Request {
            target: "/session/start".into(),
            ..signed.clone()
        },
        Request {
            content_type: "text/plain".into(),
            ..signed.clone()
        },
        Request {
            body: "{\"operator_id\":\"OPR-002\"}".into(),
            ..signed.clone()
        },
        Request {
            body: "".into(),
            ..signed.clone()
        },
    ];
    for other in others {
        let invalid = SignatureError::Invalid(client(1).public_key());
        assert_eq!(signature.verify(&other), Err(invalid), "{other:?}");
    }
    let untyped = Request {
        content_type: String::new(),
        ..signed
    };
    assert!(matches!(
        signature.verify(&untyped),
        Err(SignatureError::Coverage(_))
    ));
}

#[test]
fn every_part_of_a_signature_counts() {
    let request = without_body();
    let signature = sign(&request);
    let params = &signature.to_headers().0["plenary=".len()..];
    let rebuilt = |origin: &str, params: &str, signature: Signature| {
        ClientSignature::new(origin.into(), params.into(), signature)?.verify(&request)
    };
    let real = *signature.signature();
    assert_eq!(rebuilt(ORIGIN, params, real), Ok(()));

    let key = client(1).public_key();
    let invalid = Err(SignatureError::Invalid(key));
    assert_eq!(rebuilt("http://127.0.0.1:5001", params, real), invalid);
    assert_eq!(rebuilt("https://127.0.0.1:5000", params, real), invalid);
    let mut flipped = real;
    flipped.0[63] ^= 1;
    assert_eq!(rebuilt(ORIGIN, params, flipped), invalid);
    for (from, to) in [
        ("created=1700000000", "created=1700000001"),
        ("nonce=\"nonce\"", "nonce=\"ecnon\""),
        (";alg=\"ed25519\"", ""),
        ("\"@method\" \"@target-uri\"", "\"@target-uri\" \"@method\""),
        (");", ");tag=\"x\";"),
        (");", "); "),
    ] {
        let altered = params.replace(from, to);
        assert_ne!(altered, params);
        assert_eq!(rebuilt(ORIGIN, &altered, real), invalid, "{altered}");
    }
    let other = client(2).public_key();
    let stolen = params.replace(&key.to_string(), &other.to_string());
    assert_eq!(
        rebuilt(ORIGIN, &stolen, real),
        Err(SignatureError::Invalid(other))
    );
}

#[test]
fn the_border_between_origin_and_target_cannot_be_moved() {
    let signed = Request {
        target: "/admin/7".into(),
        ..without_body()
    };
    let signature = sign(&signed);
    let params = &signature.to_headers().0["plenary=".len()..];
    // The same target URI, but the handler would see another target.
    for origin in [
        "http://127.0.0.1:5000/admin",
        "http://127.0.0.1:5000/",
        "http://",
        "ftp://a",
    ] {
        let moved = ClientSignature::new(origin.into(), params.into(), *signature.signature());
        assert!(
            matches!(moved, Err(SignatureError::Malformed(_))),
            "{origin}"
        );
    }
    for origin in [
        "http://h?",
        "http://h#",
        "http://a@h",
        "http://h\n",
        "",
        "h",
        "http://h h",
    ] {
        assert!(
            ClientSignature::sign(&client(1), &signed, origin, "n", 1).is_err(),
            "{origin}"
        );
    }
    for origin in [
        "https://validator.example:5000",
        "http://[::1]:5000",
        "http://h",
    ] {
        assert!(
            ClientSignature::sign(&client(1), &signed, origin, "n", 1).is_ok(),
            "{origin}"
        );
    }
}

#[test]
fn a_content_type_must_be_covered_where_there_is_one() {
    let typed = request("/", "{}");
    let untyped = Request {
        content_type: String::new(),
        ..typed.clone()
    };
    let refused = sign(&untyped).verify(&typed);
    assert!(
        matches!(refused, Err(SignatureError::Coverage(text)) if text.contains("content-type"))
    );
}

#[test]
fn components_and_parameters_that_cannot_be_accepted_are_named() {
    let key = client(1).public_key();
    let good = format!(
        "(\"@method\" \"@target-uri\" \"content-digest\");created=1;nonce=\"n\";keyid=\"{key}\""
    );
    let parsed = Parameters::parse(&good).unwrap();
    assert_eq!(
        (parsed.created, parsed.nonce.as_str(), parsed.key),
        (1, "n", key)
    );
    let long = "n".repeat(MAX_NONCE_BYTES + 1);
    for (from, to, reason) in [
        ("\"@method\" ", "", "@method is missing"),
        ("\"@target-uri\" ", "", "@target-uri is missing"),
        (" \"content-digest\"", "", "content-digest is missing"),
        (
            "\"@method\"",
            "\"@method\" \"@method\"",
            "@method is there twice",
        ),
        (
            "\"@method\"",
            "\"@method\" \"date\"",
            "date is not supported",
        ),
        (
            "\"content-digest\"",
            "\"content-digest\";sf",
            "content-digest is not supported",
        ),
        ("\"@method\"", "1", "a component is no string"),
        ("created=1;", "", "created must be seconds"),
        ("created=1;", "created=-1;", "created must be seconds"),
        ("created=1;", "created=\"1\";", "created must be seconds"),
        (
            "created=1;",
            "created=1;expires=1.5;",
            "expires must be seconds",
        ),
        ("nonce=\"n\";", "", "nonce is missing"),
        ("nonce=\"n\";", "nonce=\"\";", "nonce must have"),
        (
            "nonce=\"n\";",
            &format!("nonce=\"{long}\";"),
            "nonce must have",
        ),
        ("nonce=\"n\";", "nonce=n;", "nonce must be a string"),
        (
            "keyid=\"",
            "keyid=\"0",
            "keyid must be an Ed25519 public key",
        ),
        (
            ";created",
            ";alg=\"rsa-v1_5-sha256\";created",
            "alg must be",
        ),
        ("(", "", "malformed"),
        (";created", "\n;created", "malformed"),
        ("(\"", "(), (\"", "expected one list"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        let error = Parameters::parse(&bad).unwrap_err().to_string();
        assert!(error.contains(reason), "{bad}: {error}");
    }
}

#[test]
fn headers_carry_a_signature_there_and_back() {
    for request in [request("/a", "{}"), without_body()] {
        let signature = sign(&request);
        let (input, value) = signature.to_headers();
        let read = ClientSignature::from_headers(&input, &value, ORIGIN).unwrap();
        assert_eq!(read, signature);
        assert_eq!(read.verify(&request), Ok(()));
        assert_eq!(
            (read.key(), read.nonce()),
            (client(1).public_key(), "nonce")
        );
    }
}

#[test]
fn any_label_and_signatures_of_others_are_no_trouble() {
    let request = request("/a", "{}");
    let (input, value) = sign(&request).to_headers();
    let (params, bytes) = (&input["plenary=".len()..], &value["plenary=".len()..]);
    let proxy = "proxy=(\"@authority\");created=1;keyid=\"proxy\"";
    for (input, value) in [
        (format!("sig1={params}"), format!("sig1={bytes}")),
        (format!("  sig1={params} "), format!(" sig1={bytes}  ")),
        (
            format!("{proxy}, sig1={params}"),
            format!("proxy=:AAAA:,sig1={bytes}"),
        ),
        (
            format!("sig1={params} ,\t{proxy}"),
            format!("proxy=:AAAA:, sig1={bytes}"),
        ),
        (
            format!("sig1={params}"),
            format!("proxy=:AAAA:, sig1={bytes}"),
        ),
        (
            format!("unsigned={params}, sig1={params}"),
            format!("sig1={bytes}"),
        ),
    ] {
        let read = ClientSignature::from_headers(&input, &value, ORIGIN);
        assert_eq!(read.unwrap().verify(&request), Ok(()), "{input} | {value}");
    }
}

#[test]
fn parameters_are_taken_in_the_form_that_rfc_9421_signs() {
    let request = request("/a", "{}");
    let (input, value) = sign(&request).to_headers();
    let spaced = input
        .replace(";created", ";  created")
        .replace("(\"", "(  \"");
    let read = ClientSignature::from_headers(&spaced, &value, ORIGIN).unwrap();
    assert_eq!(read.verify(&request), Ok(()));
}

#[test]
fn malformed_signature_headers_are_refused_with_a_reason() {
    let (input, value) = sign(&request("/a", "{}")).to_headers();
    let short = "plenary=:AAAA:";
    for (input, value, reason) in [
        ("", "", "no label in common"),
        (input.as_str(), "", "no label in common"),
        ("", value.as_str(), "no label in common"),
        (&input, "other=:AAAA:", "no label in common"),
        (&input, short, "64 bytes"),
        (&input, "plenary=1", "64 bytes"),
        (&input, "plenary=:!:", "Signature: "),
        (&input, "plenary", "64 bytes"),
        ("plenary=(", &value, "Signature-Input: "),
        ("plenary=\"a\"", &value, "no label in common"),
        ("plenary=()", &value, "created"),
        ("Plenary=()", &value, "Signature-Input: "),
    ] {
        let error = ClientSignature::from_headers(input, value, ORIGIN).unwrap_err();
        assert!(
            error.to_string().contains(reason),
            "{input} | {value}: {error}"
        );
    }
    let long = format!(
        "plenary={};tag=\"{}\"",
        &input["plenary=".len()..],
        "t".repeat(2000)
    );
    assert!(ClientSignature::from_headers(&long, &value, ORIGIN).is_err());
}

#[test]
fn nonces_with_quotes_stay_one_nonce_and_unfit_ones_are_refused() {
    let request = without_body();
    let tricky = "a\";created=9;x=\"\\";
    let signature = ClientSignature::sign(&client(1), &request, ORIGIN, tricky, CREATED).unwrap();
    assert_eq!(signature.nonce(), tricky);
    assert_eq!(signature.parameters().created, CREATED);
    assert_eq!(signature.verify(&request), Ok(()));
    for nonce in ["", "ä", "a\n", &"n".repeat(MAX_NONCE_BYTES + 1)] {
        let refused = ClientSignature::sign(&client(1), &request, ORIGIN, nonce, CREATED);
        assert!(
            matches!(refused, Err(SignatureError::Parameter(_))),
            "{nonce}"
        );
    }
    assert!(ClientSignature::sign(&client(1), &request, ORIGIN, "n", u64::MAX).is_err());
}

#[test]
fn a_request_cannot_be_run_long_before_or_after_it_was_signed() {
    let signature = sign(&without_body());
    let holds = |time: u64| signature.check_time(Timestamp(time)).is_ok();
    assert!(holds(NOW.0));
    assert!(holds(NOW.0 - MAX_CLIENT_DRIFT_MS));
    assert!(!holds(NOW.0 - MAX_CLIENT_DRIFT_MS - 1));
    assert!(holds(NOW.0 + MAX_OPERATION_AGE_MS));
    assert!(!holds(NOW.0 + MAX_OPERATION_AGE_MS + 1));
    assert!(!holds(0) && !holds(u64::MAX));
}

#[test]
fn an_expired_signature_is_void() {
    let params = format!(
        "(\"@method\" \"@target-uri\" \"content-digest\");created={CREATED};expires={};nonce=\"n\";keyid=\"{}\"",
        CREATED + 2,
        client(1).public_key()
    );
    let signature = ClientSignature::new(ORIGIN.into(), params, Signature([0; 64])).unwrap();
    assert_eq!(signature.check_time(Timestamp(NOW.0 + 1999)), Ok(()));
    let time = Timestamp(NOW.0 + 2000);
    let expired = Err(SignatureError::Time {
        created: CREATED,
        time,
    });
    assert_eq!(signature.check_time(time), expired);
}
