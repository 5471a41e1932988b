//! Hellos in pieces, and what is none.

use mcsp_edge_fingerprint::{
    ClientHello, HELLO_BYTES_MAX, HelloError, PEEK_BYTES_MAX, Peeked, peek,
};
use proptest::prelude::*;

use crate::hellos::{chrome, records};

fn whole() -> ClientHello {
    ClientHello::from_handshake(&chrome().message()).expect("a hello")
}

#[test]
fn a_hello_is_found_however_it_comes_in_pieces() {
    for bytes_max in [1, 2, 3, 4, 5, 7, 100, 16_384] {
        let bytes = records(&chrome().message(), bytes_max);
        // As a reader does it that waits for what it was told to wait for.
        let (mut have, mut asked) = (0, 0);
        loop {
            match peek(&bytes[..have]).expect("a beginning") {
                Peeked::Hello(hello) => {
                    assert_eq!(hello, whole(), "{bytes_max}");
                    assert_eq!(have, bytes.len(), "{bytes_max}");
                    break;
                }
                Peeked::More { bytes_min } => {
                    assert!(
                        bytes_min > have && bytes_min <= bytes.len(),
                        "{have} {bytes_min}"
                    );
                    have = bytes_min;
                    asked += 1;
                }
            }
        }
        assert!(
            asked <= 2 * bytes.len() / bytes_max + 4,
            "{bytes_max}: {asked}"
        );
    }
}

#[test]
fn what_follows_changes_nothing() {
    let mut bytes = records(&chrome().message(), 16_384);
    bytes.extend_from_slice(&[20, 3, 3, 0, 1, 1]);
    assert_eq!(peek(&bytes), Ok(Peeked::Hello(whole())));
    // Another message in the same record.
    let message = [&chrome().message()[..], &[11, 0, 0, 1, 0]].concat();
    assert_eq!(peek(&records(&message, 16_384)), Ok(Peeked::Hello(whole())));
}

#[test]
fn other_protocols_are_told_from_their_first_bytes() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"PRI * HTTP/2.0",
        b"SSH-2.0-x",
        b"\r\n\r\n\0\r\nQUIT\n",
        &[0x80, 0x2e, 1, 3, 1],
        &[22, 2, 0],
        &[21, 3, 1, 0, 2, 1, 0],
        &[23, 3, 3],
        &[22, 3, 1, 0, 0],
        &[22, 3, 1, 0x40, 1],
        &[22, 3, 1, 0, 4, 2, 0, 0, 0],
    ] {
        assert_eq!(peek(bytes), Err(HelloError::NotHello), "{bytes:?}");
    }
    for (bytes, bytes_min) in [(&[][..], 5), (&[22][..], 5), (&[22, 3, 1, 2][..], 5)] {
        assert_eq!(peek(bytes), Ok(Peeked::More { bytes_min }), "{bytes:?}");
    }
}

#[test]
fn nobody_is_listened_to_for_ever() {
    let length = u32::try_from(HELLO_BYTES_MAX)
        .expect("a length")
        .to_be_bytes();
    let long = [&[22, 3, 1, 0x40, 0, 1][..], &length[1..]].concat();
    assert_eq!(peek(&long), Err(HelloError::TooLong));
    // A long hello in tiny records: the records alone are too much.
    let message = [&[1, 0, 0x30, 0][..], &[0; 0x3000]].concat();
    let tiny = records(&message, 1);
    let mut have = 0;
    let fault = loop {
        match peek(&tiny[..have]) {
            Ok(Peeked::More { bytes_min }) => have = bytes_min,
            Ok(Peeked::Hello(_)) => panic!("it is none"),
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault, HelloError::TooLong);
    assert!(have <= PEEK_BYTES_MAX);
}

#[test]
fn lengths_that_do_not_add_up_are_no_hello() {
    let message = chrome().message();
    assert_eq!(
        ClientHello::from_handshake(&message[..message.len() - 1]),
        Err(HelloError::Malformed)
    );
    assert_eq!(
        ClientHello::from_handshake(&[&message[..], &[0]].concat()),
        Err(HelloError::Malformed)
    );
    // Every byte of every length, one more and one less.
    let mut refused = 0;
    for at in 4..message.len() {
        for change in [1, 255] {
            let mut changed = message.clone();
            changed[at] = changed[at].wrapping_add(change);
            refused += usize::from(ClientHello::from_handshake(&changed).is_err());
        }
    }
    assert!(refused > 20, "{refused}");
    // An odd number of bytes where pairs are wanted.
    let mut odd = chrome();
    odd.extensions.push((0x002b, vec![1, 3]));
    assert_eq!(
        ClientHello::from_handshake(&odd.message()),
        Err(HelloError::Malformed)
    );
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = peek(&bytes);
        let _ = ClientHello::from_handshake(&bytes);
        let as_record = [&[22, 3, 1, 1, 0x90][..], &bytes].concat();
        let _ = peek(&as_record);
        let as_hello = [&[22, 3, 1, 1, 0x90, 1, 0, 1, 0x8c][..], &bytes].concat();
        if let Ok(Peeked::More { bytes_min }) = peek(&as_hello) {
            prop_assert!(bytes_min > as_hello.len() && bytes_min <= PEEK_BYTES_MAX);
        }
    }

    #[test]
    fn no_altered_hello_panics(at in 0_usize..400, value in any::<u8>(), cut in 0_usize..400) {
        let mut bytes = records(&chrome().message(), 60);
        let length = bytes.len();
        bytes[at % length] = value;
        bytes.truncate(cut);
        let _ = peek(&bytes);
    }

    #[test]
    fn a_longer_beginning_never_says_less(cut in 0_usize..600, further in 0_usize..100) {
        let bytes = records(&chrome().message(), 33);
        let (short, long) = (cut.min(bytes.len()), (cut + further).min(bytes.len()));
        if let Ok(Peeked::Hello(hello)) = peek(&bytes[..short]) {
            prop_assert_eq!(peek(&bytes[..long]), Ok(Peeked::Hello(hello)));
        }
        prop_assert!(peek(&bytes[..long]).is_ok());
    }
}
