//! The key file: rotation without an error window, and what a restart finds.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use mcsp_auth_edge::{MediaKeyConfig, MediaKeyError, MediaKeyStore, MediaTokenError, TokenForm};
use mcsp_runtime::SeededEntropy;

use crate::media_support::{World, grant, world};

fn reopen(world: &World) -> Result<MediaKeyStore, MediaKeyError> {
    MediaKeyStore::open(
        world.folder.path().join("media-keys.json"),
        "ng".parse().expect("a region"),
        MediaKeyConfig::default(),
        world.clock.clone(),
        SeededEntropy::new(99),
    )
}

#[test]
fn a_rotation_has_no_error_window() {
    let world = world();
    let before = world
        .store
        .signer()
        .sign(&grant(), TokenForm::Hmac)
        .expect("a token");
    world.store.rotate().expect("a rotation");
    // An edge that has not heard of the rotation knows the key that signs now: it was published as the next one.
    let after = world
        .store
        .signer()
        .sign(&grant(), TokenForm::Hmac)
        .expect("a token");
    assert_ne!(before[..24], after[..24], "another key id");
    assert!(
        world.ring.verify_token(&after).is_ok(),
        "on the keys of before the rotation"
    );
    assert!(world.ring.verify_token(&before).is_ok());
    world.ring.replace(world.store.published()).expect("keys");
    assert!(
        world.ring.verify_token(&before).is_ok(),
        "both keys are valid at once"
    );
    assert!(world.ring.verify_token(&after).is_ok());
}

#[test]
fn a_retired_key_ends_with_the_last_token_it_can_have_signed() {
    let world = world();
    let mut grant = grant();
    grant.expires_s += 1_000_000;
    let token = world
        .store
        .signer()
        .sign(&grant, TokenForm::Ed25519)
        .expect("a token");
    world.store.rotate().expect("a rotation");
    world.ring.replace(world.store.published()).expect("keys");
    let life = Duration::from_secs(u64::from(MediaKeyConfig::default().token_life_max_s));
    world.clock.advance(life - Duration::from_secs(1));
    assert!(world.ring.verify_token(&token).is_ok());
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(
        world.ring.verify_token(&token),
        Err(MediaTokenError::UnknownKey)
    );
    assert_eq!(
        world.store.published().len(),
        4,
        "current and next, of two algorithms"
    );
}

#[test]
fn keys_survive_a_restart_and_a_rotation_before_it() {
    let world = world();
    let first = world
        .store
        .signer()
        .sign(&grant(), TokenForm::Hmac)
        .expect("a token");
    world.store.rotate().expect("a rotation");
    let second = world
        .store
        .signer()
        .sign(&grant(), TokenForm::Ed25519)
        .expect("a token");
    let published = world.store.published();

    let again = reopen(&world).expect("the same keys");
    assert_eq!(again.published(), published);
    world.ring.replace(again.published()).expect("keys");
    assert!(world.ring.verify_token(&first).is_ok());
    assert!(world.ring.verify_token(&second).is_ok());
    assert_eq!(
        again
            .signer()
            .sign(&grant(), TokenForm::Ed25519)
            .expect("a token"),
        second
    );
}

#[test]
fn rotation_is_due_after_its_time_and_only_then() {
    let world = world();
    assert!(!world.store.rotate_if_due().expect("an answer"));
    world.clock.advance(Duration::from_secs(86_400));
    assert!(world.store.rotate_if_due().expect("an answer"));
    assert!(!world.store.rotate_if_due().expect("an answer"));
}

#[test]
fn rotations_in_a_row_are_bounded_and_lose_no_live_key() {
    let world = world();
    let token = world
        .store
        .signer()
        .sign(&grant(), TokenForm::Hmac)
        .expect("a token");
    let refused = (0..20)
        .find_map(|_| world.store.rotate().err())
        .expect("a bound");
    assert!(matches!(refused, MediaKeyError::TooMany { .. }));
    world.ring.replace(world.store.published()).expect("keys");
    assert!(world.ring.verify_token(&token).is_ok());
}

#[test]
fn the_file_is_its_owners_alone() {
    let world = world();
    let path = world.folder.path().join("media-keys.json");
    assert_eq!(
        fs::metadata(&path).expect("a file").permissions().mode() & 0o777,
        0o600
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
    assert!(matches!(reopen(&world), Err(MediaKeyError::Corrupt { .. })));
}

#[test]
fn a_damaged_file_stops_the_start_and_is_kept() {
    let world = world();
    let path = world.folder.path().join("media-keys.json");
    let good = fs::read(&path).expect("a file");
    for damaged in [
        good[..good.len() / 2].to_vec(),
        Vec::new(),
        String::from_utf8_lossy(&good)
            .replace("\"version\":1", "\"version\":2")
            .into_bytes(),
        String::from_utf8_lossy(&good)
            .replacen("hmac_id\":\"", "hmac_id\":\"zz", 1)
            .into_bytes(),
    ] {
        fs::write(&path, &damaged).expect("written");
        assert!(matches!(reopen(&world), Err(MediaKeyError::Corrupt { .. })));
        assert_eq!(fs::read(&path).expect("a file"), damaged);
    }
}

#[test]
fn a_rotation_that_cannot_be_written_does_not_happen() {
    let world = world();
    let published = world.store.published();
    let token = world
        .store
        .signer()
        .sign(&grant(), TokenForm::Ed25519)
        .expect("a token");
    let away = world.folder.path().with_extension("away");
    fs::rename(world.folder.path(), &away).expect("renamed");
    assert!(matches!(
        world.store.rotate(),
        Err(MediaKeyError::Io { .. })
    ));
    assert_eq!(world.store.published(), published);
    assert_eq!(
        world
            .store
            .signer()
            .sign(&grant(), TokenForm::Ed25519)
            .expect("a token"),
        token
    );
    fs::rename(&away, world.folder.path()).expect("renamed back");
    world.store.rotate().expect("a rotation");
}

#[test]
fn settings_out_of_range_name_the_key() {
    let config = MediaKeyConfig {
        rotate_after_s: 10,
        ..MediaKeyConfig::default()
    };
    let fault = config.validate().expect_err("out of range").to_string();
    assert!(
        fault.contains("rotate_after_s") && fault.contains("10") && fault.contains("600"),
        "{fault}"
    );
}
