//! RFC 9211, CTA-5004 and CTA-5006.

use mcsp_edge_policy::cache_status::{CacheStatus, Forward};
use mcsp_edge_policy::cmcd::{Cmcd, NEXT_OBJECTS_MAX, ObjectType, StreamingFormat};
use mcsp_edge_policy::cmsd;
use mcsp_edge_policy::range::RangeSpec;

use crate::headers;

#[test]
fn cache_status() {
    let of = |cache: &'static str| CacheStatus {
        cache,
        ..CacheStatus::default()
    };
    let rows = [
        ("2", of("los1"), "los1"),
        (
            "2: a name that is no token",
            of("Edge Lagos"),
            r#""Edge Lagos""#,
        ),
        (
            "2.1",
            CacheStatus {
                hit: true,
                ttl_s: Some(376),
                ..of("los1")
            },
            "los1; hit; ttl=376",
        ),
        (
            "2.2, 2.3, 2.5",
            CacheStatus {
                forward: Some(Forward::UriMiss),
                forward_status: Some(200),
                stored: true,
                ..of("los1")
            },
            "los1; fwd=uri-miss; fwd-status=200; stored",
        ),
        (
            "2.4: stale",
            CacheStatus {
                hit: true,
                ttl_s: Some(-12),
                ..of("los1")
            },
            "los1; hit; ttl=-12",
        ),
        (
            "2.6",
            CacheStatus {
                forward: Some(Forward::Stale),
                collapsed: true,
                ..of("los1")
            },
            "los1; fwd=stale; collapsed",
        ),
        (
            "2.7",
            CacheStatus {
                key: Some(r#"/a"b\c"#),
                ..of("los1")
            },
            r#"los1; key="/a\"b\\c""#,
        ),
        (
            "2.8",
            CacheStatus {
                forward: Some(Forward::Bypass),
                detail: Some("no-store"),
                ..of("los1")
            },
            "los1; fwd=bypass; detail=no-store",
        ),
        (
            "2.8: a sentence",
            CacheStatus {
                detail: Some("no \u{e9}\n"),
                ..of("los1")
            },
            r#"los1; detail="no ??""#,
        ),
    ];
    for (rule, status, expected) in rows {
        assert_eq!(status.to_string(), expected, "{rule}");
    }
    let tokens = [
        (Forward::Method, "method"),
        (Forward::VaryMiss, "vary-miss"),
        (Forward::Miss, "miss"),
        (Forward::Request, "request"),
        (Forward::Partial, "partial"),
    ];
    for (forward, token) in tokens {
        assert_eq!(forward.token(), token, "2.2");
    }
}

#[test]
fn client_data_in_headers() {
    let request = headers(&[
        r#"CMCD-Request: bl=21300,dl=18200,mtp=48100,nor="..%2F300kbps%2Ftrack.m4v",nrr="12323-48763",su"#,
        "CMCD-Object: br=3200,d=4004,ot=v,tb=6000",
        "CMCD-Status: bs,rtp=15000",
        r#"CMCD-Session: cid="faec5fc2",pr=1.08,sf=d,sid="6e2fb550",st=v,v=1"#,
    ]);
    let expected = Cmcd {
        next_objects: vec!["../300kbps/track.m4v".into()],
        next_range: Some(RangeSpec::Span {
            first: 12_323,
            last: 48_763,
        }),
        bitrate_kbps: Some(3_200),
        top_bitrate_kbps: Some(6_000),
        throughput_kbps: Some(48_100),
        requested_throughput_kbps: Some(15_000),
        buffer_ms: Some(21_300),
        deadline_ms: Some(18_200),
        duration_ms: Some(4_004),
        is_starved: true,
        is_startup: true,
        object_type: Some(ObjectType::Video),
        streaming_format: Some(StreamingFormat::Dash),
        is_live: Some(false),
        playback_rate: Some(1.08),
        session_id: Some("6e2fb550".into()),
        content_id: Some("faec5fc2".into()),
    };
    assert_eq!(Cmcd::of_headers(&request), Some(expected));
    assert_eq!(Cmcd::of_headers(&headers(&["Range: bytes=0-1"])), None);
}

#[test]
fn client_data_in_the_query() {
    let rows: &[(&str, &str, Option<&[&str]>)] = &[
        (
            "encoded",
            "a=b&CMCD=bl%3D1%2Cnor%3D%22..%252Fa%20b.m4s%22&c",
            Some(&["../a b.m4s"]),
        ),
        ("not encoded", "CMCD=nor=\"x.m4s\",bs", Some(&["x.m4s"])),
        ("without quotes", "CMCD=nor=x.m4s", Some(&["x.m4s"])),
        (
            "several",
            "CMCD=nor%3D%22a%22%2Cnor%3D%22b%22",
            Some(&["a", "b"]),
        ),
        ("another parameter", "CMCDX=bl", None),
        ("absent", "", None),
        (
            "broken keys are left out one by one",
            "CMCD=nor=\"open,bl=x",
            Some(&[]),
        ),
        ("not UTF-8", "CMCD=nor%3D%22%25ff%22", Some(&[])),
    ];
    for (rule, query, expected) in rows {
        let found = Cmcd::of_query(query).map(|cmcd| cmcd.next_objects);
        assert_eq!(
            found,
            expected.map(|objects| objects.iter().map(ToString::to_string).collect()),
            "{rule}"
        );
    }
}

#[test]
fn client_data_is_bounded() {
    assert_eq!(Cmcd::of_query(&format!("CMCD={}", "a".repeat(5_000))), None);
    let many = "nor=\"a\",".repeat(100);
    let kept = Cmcd::of_headers(&headers(&[&format!("CMCD-Request: {many}")])).unwrap();
    assert_eq!(kept.next_objects.len(), NEXT_OBJECTS_MAX);
    let long = format!("CMCD-Session: sid=\"{}\"", "a".repeat(2_000));
    assert_eq!(
        Cmcd::of_headers(&headers(&[&long])).unwrap().session_id,
        None
    );
}

#[test]
fn server_data() {
    let fixed = cmsd::Static {
        bitrate_kbps: Some(2_000),
        duration_ms: Some(5_000),
        next_object: Some("seg-2.m4s"),
        object_type: Some(ObjectType::Video),
        streaming_format: Some(StreamingFormat::Hls),
        is_live: Some(true),
    };
    assert_eq!(
        fixed.to_string(),
        r#"br=2000,d=5000,nor="seg-2.m4s",ot=v,sf=h,st=l"#
    );
    assert_eq!(cmsd::Static::default().to_string(), "");
    let dynamic = cmsd::Dynamic {
        server: "los1",
        is_under_duress: true,
        throughput_kbps: Some(115),
        bitrate_max_kbps: Some(5_000),
        response_delay_ms: Some(3),
        round_trip_ms: Some(16),
    };
    assert_eq!(
        dynamic.to_string(),
        r#""los1";du;etp=115;mb=5000;rd=3;rtt=16"#
    );
    assert_eq!(
        cmsd::Dynamic {
            server: "los1",
            ..Default::default()
        }
        .to_string(),
        r#""los1""#
    );
}
