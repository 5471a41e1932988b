//! Ranges on complete objects and on fills in flight.

use bytes::Bytes;

use crate::legacy::harness::{Harness, drain, length};

#[tokio::test]
async fn any_range_of_a_complete_object() {
    let harness = Harness::new();
    let whole: Vec<u8> = (0..60_000u32).map(|n| (n % 251) as u8).collect();
    harness.store("/a", &whole, &[length(whole.len())]).await;
    for (start, end) in [
        (0, 1),
        (0, 60_000),
        (999, 1001),
        (59_999, 60_000),
        (30_000, 70_000),
    ] {
        let (_, mut reader) = harness.lookup("/a").await.unwrap();
        assert!(reader.can_seek());
        reader.seek(start, Some(end)).unwrap();
        assert_eq!(
            drain(&mut reader).await.unwrap(),
            &whole[start..end.min(whole.len())]
        );
    }
}

#[tokio::test]
async fn one_reader_serves_many_ranges_and_refuses_one_past_the_end() {
    let harness = Harness::new();
    harness.store("/a", b"0123456789", &[length(10)]).await;
    let (_, mut reader) = harness.lookup("/a").await.unwrap();
    for (start, end, wanted) in [(7, Some(9), "78"), (0, Some(2), "01"), (8, None, "89")] {
        reader.seek(start, end).unwrap();
        assert_eq!(drain(&mut reader).await.unwrap(), wanted.as_bytes());
    }
    assert!(reader.seek(10, None).is_err());
}

#[tokio::test]
async fn a_range_of_a_fill_waits_for_its_bytes_only() {
    let harness = Harness::new();
    let mut writer = harness.begin(&harness.cache.key("/a"), &[length(30)]).await;
    let (_, mut reader) = harness.lookup("/a").await.unwrap();
    reader.seek(10, Some(15)).unwrap();
    let read = tokio::spawn(async move { drain(&mut reader).await });
    writer
        .write_body(Bytes::from_static(b"0123456789"), false)
        .await
        .unwrap();
    writer
        .write_body(Bytes::from_static(b"abcdefghij"), false)
        .await
        .unwrap();
    // The fill is not over, but the range is.
    assert_eq!(read.await.unwrap(), Ok(b"abcde".to_vec()));
}
