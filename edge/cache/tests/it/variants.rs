//! Variants of a key.

use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, HeaderName};
use mcsp_edge_cache::engine::{Key, Lookup, MissReason, PurgeSelector, Variant};

use crate::support::{Harness, any, headers, lead};

async fn store(harness: &Harness, key: &str, request: &HeaderMap, names: &[HeaderName], tag: &str) {
    let ticket = harness.cache.ticket();
    // What is stored is fetched anew, whatever was there.
    let known = harness.hit_for(key, request);
    let lead = lead(
        harness
            .cache
            .join(Key::new(key), request, ticket, known.as_ref()),
    );
    let mut response = harness.whole(Some(tag.len()), &[("surrogate-key", tag)]);
    response.variant = Variant::of(names.iter().cloned(), request);
    let mut filling = lead.begin(response).unwrap();
    filling.write(tag.to_owned().into()).await.unwrap();
    filling.complete().unwrap();
}

fn body(harness: &Harness, key: &str, request: &HeaderMap) -> Option<String> {
    let entity = harness.hit_for(key, request)?;
    let body = entity.body_bytes().unwrap().concat();
    Some(String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn each_request_gets_its_own_variant() {
    let harness = Harness::new();
    let requests: Vec<_> = ["gzip", "br", "zstd"]
        .map(|coding| headers(&[("accept-encoding", coding)]))
        .into_iter()
        .chain([any()])
        .collect();
    for (index, request) in requests.iter().enumerate() {
        store(
            &harness,
            "/a",
            request,
            &[ACCEPT_ENCODING],
            &format!("v{index}"),
        )
        .await;
    }
    for (index, request) in requests.iter().enumerate() {
        assert_eq!(body(&harness, "/a", request), Some(format!("v{index}")));
    }
    let other = headers(&[("accept-encoding", "identity")]);
    assert!(matches!(
        harness.cache.lookup(Key::new("/a"), &other),
        Lookup::Miss(MissReason::Variant)
    ));
    assert_eq!(
        harness
            .cache
            .inspect(Key::new("/a"), &any())
            .await
            .variants
            .len(),
        4
    );
    // White space and the number of fields make no difference.
    let spaced = headers(&[("accept-encoding", "  gzip ")]);
    assert_eq!(body(&harness, "/a", &spaced), Some("v0".to_owned()));
}

#[tokio::test]
async fn responses_of_one_key_may_vary_by_different_headers() {
    let harness = Harness::new();
    let english = headers(&[("accept-language", "en"), ("accept-encoding", "br")]);
    let french = headers(&[("accept-language", "fr"), ("accept-encoding", "gzip")]);
    store(&harness, "/a", &english, &[ACCEPT_LANGUAGE], "en").await;
    store(
        &harness,
        "/a",
        &french,
        &[ACCEPT_LANGUAGE, ACCEPT_ENCODING],
        "fr",
    )
    .await;
    assert_eq!(body(&harness, "/a", &english), Some("en".to_owned()));
    assert_eq!(body(&harness, "/a", &french), Some("fr".to_owned()));
    let plain = headers(&[("accept-language", "fr")]);
    assert_eq!(body(&harness, "/a", &plain), None);
}

#[tokio::test]
async fn a_purge_takes_every_variant_or_the_one_it_names() {
    let harness = Harness::new();
    let gzip = headers(&[("accept-encoding", "gzip")]);
    for key in ["/a", "/b"] {
        store(&harness, key, &gzip, &[ACCEPT_ENCODING], "g").await;
        store(&harness, key, &any(), &[ACCEPT_ENCODING], "p").await;
    }
    let report = harness.purge(PurgeSelector::Key("/a".into()), false);
    assert_eq!(report.objects, 2);
    assert_eq!(body(&harness, "/a", &gzip), None);
    assert_eq!(
        harness
            .purge(PurgeSelector::SurrogateKey("g".into()), false)
            .objects,
        1
    );
    assert_eq!(body(&harness, "/b", &gzip), None);
    assert_eq!(body(&harness, "/b", &any()), Some("p".to_owned()));
}

#[tokio::test]
async fn a_response_that_does_not_vary_takes_the_place_of_all_and_the_other_way_round() {
    let harness = Harness::new();
    let gzip = headers(&[("accept-encoding", "gzip")]);
    store(&harness, "/a", &gzip, &[ACCEPT_ENCODING], "varies").await;
    store(&harness, "/a", &any(), &[], "same").await;
    assert_eq!(body(&harness, "/a", &gzip), Some("same".to_owned()));
    assert_eq!(
        harness
            .cache
            .inspect(Key::new("/a"), &any())
            .await
            .variants
            .len(),
        1
    );
    store(&harness, "/a", &gzip, &[ACCEPT_ENCODING], "again").await;
    assert_eq!(body(&harness, "/a", &gzip), Some("again".to_owned()));
    assert_eq!(body(&harness, "/a", &any()), None);
}

#[tokio::test]
async fn a_key_has_a_bounded_number_of_variants() {
    let harness = Harness::new();
    for n in 0..50 {
        let request = headers(&[("accept-language", &format!("l{n}"))]);
        store(&harness, "/a", &request, &[ACCEPT_LANGUAGE], "x").await;
    }
    let inspection = harness.cache.inspect(Key::new("/a"), &any()).await;
    assert_eq!(inspection.variants.len(), 4);
    let newest = headers(&[("accept-language", "l49")]);
    assert!(harness.hit_for("/a", &newest).is_some());
}

#[test]
fn many_values_are_one_value() {
    let joined = headers(&[("accept-language", "en, fr")]);
    let mut apart = HeaderMap::new();
    apart.append(ACCEPT_LANGUAGE, "en".parse().unwrap());
    apart.append(ACCEPT_LANGUAGE, "fr".parse().unwrap());
    assert!(Variant::of([ACCEPT_LANGUAGE], &joined).matches(&apart));
}
