//! One region in two processes: the same services, with mutual TLS between them.

use http::Method;
use mcsp_api::Role;
use mcsp_origin_node::{compose, open_engines};
use mcsp_runtime::SystemClock;

use crate::support::{Machine, from_edge, request, send, site, upload_request, viewer};

const ENGINES: &str =
    "roles = [\"auth\", \"content\", \"storage\", \"events\", \"kv\", \"web\"]\n[[tables]]";

#[tokio::test(flavor = "multi_thread")]
async fn a_service_works_on_engines_and_services_of_another_process() {
    let machine = Machine::new();
    let engines = machine
        .start(machine.config("ng-lagos", "origin", ENGINES))
        .await;
    let (rpc, s3) = (
        engines.addresses.rpc,
        engines.addresses.s3.expect("storage is there"),
    );
    let credentials = machine.path("data-ng-lagos-origin/secrets");
    let name = "origin.ng-lagos.mcsp.internal";
    let more = format!(
        "roles = [\"upload\", \"media-origin\"]\n[[tables]][engines]\nevents = \"mcsp://{rpc}/{name}\"\n\
         objects = \"s3://{s3}?server_name={name}\"\n[storage]\ncredentials_dir = {credentials:?}\n\
         [remote.content]\naddress = \"{rpc}\"\n"
    );
    let site = site(
        machine.config("ng-lagos", "upload", &more),
        SystemClock::shared(),
    );
    let upload = compose(&site, open_engines(&site).await.unwrap())
        .await
        .unwrap();
    assert!(upload.s3.is_none() && upload.web.is_none() && upload.feed.is_none());
    let api = upload.api.expect("the role is there");

    let creator = viewer(Role::Creator, 1);
    let body = upload_request("NG");
    let created = send(
        &api,
        from_edge(
            request(Method::POST, "/api/v1/uploads/session", Some(&body)),
            Some(&creator),
        ),
    )
    .await;
    assert_eq!(
        created.status,
        201,
        "{}",
        String::from_utf8_lossy(&created.body)
    );
    let session = created.json();
    // Object storage made the multipart upload, and says which parts it has.
    let path = format!(
        "/api/v1/uploads/session/{}",
        session["upload_id"].as_str().unwrap()
    );
    let again = send(
        &api,
        from_edge(request(Method::GET, &path, None), Some(&creator)),
    )
    .await;
    assert_eq!(again.json()["parts"][0]["received"], false);
    // Without its caller's certificate the content service would have refused the draft.
    let content = format!(
        "/api/v1/content/{}",
        session["content_id"].as_str().unwrap()
    );
    let not_here = send(
        &api,
        from_edge(request(Method::GET, &content, None), Some(&creator)),
    )
    .await;
    assert_eq!(not_here.status, 404, "content is the other process's");
    let media = upload.media.expect("the role is there");
    let absent = format!(
        "/media/ng/{}/manifest.m3u8",
        session["content_id"].as_str().unwrap()
    );
    assert_eq!(
        send(&media, from_edge(request(Method::GET, &absent, None), None))
            .await
            .status,
        404
    );
    engines.stop().await;
    let away = send(
        &api,
        from_edge(
            request(Method::POST, "/api/v1/uploads/session", Some(&body)),
            Some(&creator),
        ),
    )
    .await;
    assert_eq!(away.status, 503, "{}", String::from_utf8_lossy(&away.body));
}

#[tokio::test]
async fn accounts_of_one_residency_cannot_touch_the_others_bucket() {
    let machine = Machine::new();
    let region = crate::support::whole_region(&machine).await;
    let endpoint = region.s3.expect("storage is there");
    let worker = machine.path("data-ng-lagos-origin/secrets/objects-worker.toml");
    let worker: toml::Table = std::fs::read_to_string(worker).unwrap().parse().unwrap();
    for (table, own, other) in [
        ("ng", "mcsp-ng", "mcsp-global"),
        ("global", "mcsp-global", "mcsp-ng"),
    ] {
        let text = |key: &str| worker[table][key].as_str().unwrap().to_owned();
        let client = endpoint.in_process_client(
            &text("access_key"),
            &mcsp_objects::Secret::new(text("secret")),
        );
        let put = |bucket: &'static str| client.put(bucket, "x/y", "text/plain", "bytes".into());
        assert!(put(own).await.is_ok(), "{table} in {own}");
        let denied = put(other).await.expect_err("another residency's bucket");
        assert!(
            matches!(denied, mcsp_objects::ObjectError::Denied(_)),
            "{table} in {other}: {denied}"
        );
    }
}
