//! The kill itself: nothing said is missed, and a child that ends early is told.

use std::io::ErrorKind;

use mcsp_kill::{acknowledge, target, until_killed};

/// Says rising numbers, for ever or up to the target.
#[test]
#[ignore = "the child process of the tests below"]
fn child() {
    let Some(target) = target() else { return };
    let last = target.to_str().and_then(|last| last.parse().ok());
    for number in 0..last.unwrap_or(u64::MAX) {
        acknowledge(number).unwrap();
    }
}

#[test]
#[ignore = "the child process of the test below"]
fn troubled_child() {
    let Some(target) = target() else { return };
    // More than a pipe holds: nobody is to be waited for.
    let told = std::iter::repeat_n("and on, ", 40_000).collect::<String>();
    panic!("{} went wrong {told}", target.display());
}

#[test]
fn a_child_that_panics_is_heard() {
    let error = until_killed("troubled_child", "this", 1).unwrap_err();
    assert!(error.to_string().contains("this went wrong"), "{error}");
}

#[test]
fn a_child_is_killed_and_everything_it_said_is_told() {
    let said = until_killed("child", "for ever", 50).unwrap();
    assert!(said.len() >= 50);
    let dense: Vec<String> = (0..said.len()).map(|number| number.to_string()).collect();
    assert_eq!(said, dense);
}

#[test]
fn a_child_that_ends_by_itself_is_a_failure() {
    let error = until_killed("child", "3", 50).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    assert!(error.to_string().contains("after 3 of 50"), "{error}");
    let error = until_killed("no_such_test", "3", 1).unwrap_err();
    assert!(error.to_string().contains("after 0 of 1"), "{error}");
}
