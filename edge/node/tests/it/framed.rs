//! HTTP/2 in front of a plain route: what HTTP/1.1 cannot say.

use reqwest::{Client, Method, Version};

use crate::harness::{Node, RawOrigin, World};

/// A node with a route for one name, and a client that knows where that is.
async fn start(origin: &RawOrigin) -> (World, Node, Client, String) {
    let world = World::new().await;
    let extra = format!(
        "[[route]]\nname = \"raw\"\nhosts = [\"raw.example\"]\nupstream = \"http://{}\"\n",
        origin.address
    );
    let node = world.node_with("los1", &extra).await;
    let client = Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .resolve("raw.example", node.tls)
        .build()
        .unwrap();
    let base = format!("https://raw.example:{}", node.tls.port());
    (world, node, client, base)
}

/// RFC 9113 section 8.2.3.
#[tokio::test]
async fn cookies_in_several_fields_reach_the_origin_as_one() {
    let mut origin = RawOrigin::start().await;
    let (_world, _node, client, base) = start(&origin).await;
    for method in [Method::GET, Method::POST] {
        let request = client
            .request(method.clone(), format!("{base}/p"))
            .header("cookie", "a=1")
            .header("cookie", "b=2; c=3")
            .header("cookie", "d=4");
        let answer = tokio::spawn(request.send());
        let asked = origin.asked().await;
        assert_eq!(asked.field("cookie"), ["a=1; b=2; c=3; d=4"], "{method}");
        assert!(
            asked.field("via").ends_with(&["2 mcsp-edge"]),
            "{}",
            asked.head
        );
        asked.answer("Cache-Control: no-store\r\n", "").await;
        let answer = answer.await.unwrap().unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.version()),
            (200, Version::HTTP_2)
        );
    }
}

/// RFC 9113 section 8.3.1.
#[tokio::test]
async fn a_host_that_is_not_the_authority_is_refused() {
    let mut origin = RawOrigin::start().await;
    let (_world, _node, client, base) = start(&origin).await;
    for method in [Method::GET, Method::POST] {
        let request = client.request(method.clone(), format!("{base}/p"));
        let answer = request.header("host", "other.example").send().await;
        // As malformed: by an answer, or by the stream's end.
        let is_refused = answer.map_or(true, |answer| answer.status() == 400);
        assert!(is_refused, "{method}");
        assert!(origin.is_idle(), "{method}");
        let authority = base.trim_start_matches("https://").to_owned();
        let request = client.request(method.clone(), format!("{base}/p"));
        let answer = tokio::spawn(request.header("host", &authority).send());
        let asked = origin.asked().await;
        assert_eq!(asked.field("host"), [authority], "{method}");
        asked.answer("Cache-Control: no-store\r\n", "").await;
        assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    }
}
