//! With one region cut off, the other uploads, publishes and plays on.

use crate::harness::{PUBLISH_LIMIT, Stage, clip, picture_and_sound};

#[tokio::test]
async fn each_region_goes_on_while_the_other_is_cut_off() {
    let stage = Stage::start("regions").await;
    let file = clip(stage.scratch(), "a.mp4", &picture_and_sound(6, "640x360")).await;
    let lagos = stage.creator("los1", "hauwa").await;
    let london = stage.creator("lhr1", "ian").await;
    stage.cluster.cut_regions();
    let (in_lagos, in_london) = tokio::join!(lagos.upload(&file, &[]), london.upload(&file, &[]));
    for (pop, id) in [
        ("los1", &in_lagos),
        ("abv1", &in_lagos),
        ("lhr1", &in_london),
    ] {
        let viewer = stage.viewer(pop, &format!("viewer-{pop}")).await;
        let session = viewer.play(id).await.expect("a session");
        let base = session.media_base_url.trim_end_matches('/');
        assert!(
            !viewer
                .bytes(&format!("{base}/v360/1.m4s"))
                .await
                .expect("a segment")
                .is_empty()
        );
    }
    // Joined again, each region's content plays in the other.
    stage.cluster.mend_regions();
    for (pop, id) in [("los1", &in_london), ("lhr1", &in_lagos)] {
        let viewer = stage.viewer(pop, &format!("later-{pop}")).await;
        viewer
            .wait_published(id, PUBLISH_LIMIT)
            .await
            .expect("the other region's record");
        let until = tokio::time::Instant::now() + PUBLISH_LIMIT;
        // The other region's keys come by the feed, which reconnects in its own time.
        loop {
            let played = async {
                let session = viewer.play(id).await?;
                let base = session.media_base_url.trim_end_matches('/').to_owned();
                viewer.bytes(&format!("{base}/v360/1.m4s")).await
            };
            match played.await {
                Ok(bytes) => break assert!(!bytes.is_empty()),
                Err(error) => assert!(tokio::time::Instant::now() < until, "{pop}: {error}"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }
    stage.stop().await;
}
