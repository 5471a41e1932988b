//! The contract on the folder and on the S3 API within the process; over TLS it runs in [`crate::tls`].

use mcsp_origin_objects::contract;

use crate::stage::{NG, OwnerParts, PresignedParts, Stage, shared};

#[tokio::test]
async fn the_folder_keeps_the_contract() {
    let stage = Stage::new().await;
    let sender = OwnerParts(stage.engine.clone());
    contract::run(&shared(&stage.engine), NG, &sender)
        .await
        .unwrap();
    assert_eq!(leftovers(&stage), Vec::<String>::new());
}

#[tokio::test]
async fn s3_in_process_keeps_the_contract() {
    let stage = Stage::new().await;
    let store = stage.client("ng-writer");
    let sender = PresignedParts {
        stage: &stage,
        store: store.clone(),
    };
    contract::run(&store, NG, &sender).await.unwrap();
    assert_eq!(leftovers(&stage), Vec::<String>::new());
}

/// Files that no object needs: none, once every object is deleted.
fn leftovers(stage: &Stage) -> Vec<String> {
    ["tmp", "multipart", "buckets/mcsp-ng"]
        .iter()
        .flat_map(|name| std::fs::read_dir(stage.dir.path().join(name)).unwrap())
        .map(|entry| entry.unwrap().path().display().to_string())
        .collect()
}
