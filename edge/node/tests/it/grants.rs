//! What a good media URL does not allow, the node does not give, though it holds it.

use std::net::IpAddr;

use mcsp_api::Residency::Global;
use mcsp_auth_edge::{AddressPrefix, MediaGrant, RenditionLimits, TokenForm};
use reqwest::Method;

use crate::harness::{CONTENT, Serve, World, cache_status, get, origin_path};

fn path(world: &World, grant: &MediaGrant, form: TokenForm, rest: &str) -> String {
    let token = world.sign_as(grant, form);
    format!("/media/{token}/global/{CONTENT}/{rest}")
}

/// All of it is in the cache, of a viewer whose plan has no limit.
async fn hold(world: &World, node: &crate::harness::Node, rests: &[&str]) {
    for rest in rests {
        let answer = Serve::ok(format!("bytes of {rest}")).with("cache-control", "max-age=600");
        world.origin.serve(&origin_path(Global, rest), answer);
        let answer = get(node, &world.media_path(Global, rest)).await;
        assert_eq!(answer.status(), 200);
        answer.bytes().await.unwrap();
    }
}

#[tokio::test]
async fn a_plans_top_rendition_is_refused_to_who_has_not_paid_for_it() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let (within, above) = (
        ["manifest.m3u8", "v480/1.m4s", "a128/1.m4s"],
        ["v720/1.m4s", "v1080/init.mp4", "a320/1.m4s"],
    );
    hold(&world, &node, &[within, above].concat()).await;
    let fetched = world.origin.seen().len();
    let limits = RenditionLimits {
        max_height: 480,
        max_audio_kbps: 128,
    };
    let grant = MediaGrant {
        limits,
        ..world.grant(Global)
    };
    for form in [TokenForm::Hmac, TokenForm::Ed25519] {
        for rest in within {
            let answer = get(&node, &path(&world, &grant, form, rest)).await;
            assert_eq!(answer.status(), 200, "{rest}");
        }
        for rest in above {
            let path = path(&world, &grant, form, rest);
            // However it is written.
            let escaped = path.replace("/v", "/%76").replace("/a", "/%61");
            for path in [&path, &escaped] {
                for method in [Method::GET, Method::HEAD] {
                    let request = node.request(method, path).header("range", "bytes=0-1");
                    let answer = request.send().await.unwrap();
                    assert!(
                        matches!(answer.status().as_u16(), 400 | 403 | 404),
                        "{path}: {}",
                        answer.status()
                    );
                    if !path.contains('%') {
                        assert!(
                            cache_status(&answer).ends_with("detail=rendition"),
                            "{rest}"
                        );
                    }
                    let text = answer.text().await.unwrap();
                    assert!(!text.contains("bytes of"), "{path}: {text}");
                }
            }
        }
    }
    assert_eq!(world.origin.seen().len(), fetched, "no origin was asked");
}

#[tokio::test]
async fn a_url_that_is_bound_is_good_from_its_own_addresses_only() {
    let world = World::new().await;
    let node = world.node("los1").await;
    hold(&world, &node, &["v480/1.m4s"]).await;
    let bound = |address: &str| MediaGrant {
        client: Some(AddressPrefix::around(
            address.parse::<IpAddr>().unwrap(),
            24,
            56,
        )),
        ..world.grant(Global)
    };
    for form in [TokenForm::Hmac, TokenForm::Ed25519] {
        for (address, status) in [
            ("127.0.0.99", 200),
            ("192.0.2.1", 403),
            ("2001:db8::1", 403),
        ] {
            let path = path(&world, &bound(address), form, "v480/1.m4s");
            // What a client says of itself does not count.
            let request = node.request(Method::GET, &path);
            let request = request.header("x-forwarded-for", "192.0.2.1");
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{address}");
        }
    }
}
