//! Paths without empty, self and back references.

/// `/` separates.
pub(super) fn normalize(input: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let absolute = input.first() == Some(&b'/');
    if absolute {
        out.push(b'/');
    }
    let root = out.len();
    // A back reference that nothing precedes stays in a relative path, and can itself not be taken back.
    let mut floor = root;
    let mut parts = input.split(|b| *b == b'/').peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part {
            b"" | b"." => {}
            b".." => {
                if out.len() > floor {
                    let cut = out[floor..out.len() - 1]
                        .iter()
                        .rposition(|b| *b == b'/')
                        .map_or(floor, |at| floor + at + 1);
                    out.truncate(cut);
                } else if !absolute {
                    out.extend_from_slice(b"..");
                    if !last {
                        out.push(b'/');
                    }
                    floor = out.len();
                }
            }
            part => {
                out.extend_from_slice(part);
                if !last {
                    out.push(b'/');
                }
            }
        }
    }
    // "/a/b/.." names the folder itself, without the slash that was written after it.
    let ends_in_reference = input.ends_with(b"/..") || input.ends_with(b"/.");
    if ends_in_reference && out.len() > root.max(start + 1) && out.last() == Some(&b'/') {
        out.pop();
    }
}

/// `\` separates too.
pub(super) fn normalize_win(input: &[u8], out: &mut Vec<u8>) {
    let slashed: Vec<u8> = input
        .iter()
        .map(|b| if *b == b'\\' { b'/' } else { *b })
        .collect();
    normalize(&slashed, out);
}
