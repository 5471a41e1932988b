use super::*;

fn run(name: &str, input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Transformation::by_name(name)
        .unwrap()
        .apply(input, &mut out);
    out
}

#[test]
fn every_transformation_by_its_table() {
    let table: &[(&str, &[u8], &[u8])] = &[
        ("base64Decode", b"SGVsbG8=", b"Hello"),
        ("base64Decode", b"SGVs!bG8=", b"Hel"),
        ("base64DecodeExt", b"SGVs !bG8=", b"Hello"),
        ("base64Encode", b"Hello", b"SGVsbG8="),
        ("cmdLine", b"C^OM\"MAND  /c,;DIR", b"command/c dir"),
        ("cmdLine", b" (x", b"(x"),
        ("compressWhitespace", b"a \t\n\xa0 b", b"a b"),
        ("cssDecode", b"ja\\vascript", b"javascript"),
        ("cssDecode", b"\\6A\\61 \\76 a", b"java"),
        ("cssDecode", b"\\ff1c\\00ff1e\\", b"<>"),
        ("escapeSeqDecode", b"\\x41\\101\\n\\q\\", b"AA\nq\\"),
        ("hexDecode", b"414243zz", b"ABC"),
        ("hexEncode", b"AB\xff", b"4142ff"),
        (
            "htmlEntityDecode",
            b"&lt;&#x3C;&#60&quot;&AMP;&nbsp;&none;&#;",
            b"<<<\"&\xa0&none;&#;",
        ),
        (
            "jsDecode",
            b"\\u0041\\x42\\103\\t\\uff1c\\q\\777",
            b"ABC\t<q?7",
        ),
        ("length", b"abcd", b"4"),
        ("lowercase", b"AbC\xc9", b"abc\xc9"),
        (
            "md5",
            b"",
            b"\xd4\x1d\x8c\xd9\x8f\x00\xb2\x04\xe9\x80\x09\x98\xec\xf8\x42\x7e",
        ),
        ("normalizePath", b"/a//b/./c/../d", b"/a/b/d"),
        ("normalizePath", b"../../etc/passwd", b"../../etc/passwd"),
        ("normalizePath", b"/../../etc", b"/etc"),
        ("normalizePath", b"a/../../b", b"../b"),
        ("normalizePath", b"/a/b/..", b"/a"),
        ("normalizePathWin", b"c:\\a\\..\\b", b"c:/b"),
        ("removeComments", b"a/*b*/c<!--d-->e--f", b"ace"),
        ("removeCommentsChar", b"a/*b*/c<!--d-->e--f#", b"abcdef"),
        ("removeNulls", b"a\0b", b"ab"),
        ("removeWhitespace", b" a\tb\xa0c", b"abc"),
        ("replaceComments", b"a/*b*/c/*d", b"a c "),
        ("replaceNulls", b"a\0b", b"a b"),
        (
            "sha1",
            b"abc",
            b"\xa9\x99\x3e\x36\x47\x06\x81\x6a\xba\x3e\x25\x71\x78\x50\xc2\x6c\x9c\xd0\xd8\x9d",
        ),
        ("sqlHexDecode", b"0x414243 0xg", b"ABC 0xg"),
        ("trim", b" a ", b"a"),
        ("trimLeft", b" a ", b"a "),
        ("trimRight", b" a ", b" a"),
        ("uppercase", b"aBc", b"ABC"),
        ("urlDecode", b"a+b%20%zz%4", b"a b %zz%4"),
        ("urlDecodeUni", b"%u0041%uff1c%u2215%41+%uzz", b"A</A %uzz"),
        ("urlEncode", b"a b/", b"a+b%2f"),
        ("utf8toUnicode", "aé\u{1f600}".as_bytes(), b"a%u00e9%u1f600"),
        ("utf8toUnicode", b"\xff", b"\xff"),
    ];
    for (name, input, expected) in table {
        assert_eq!(
            run(name, input),
            *expected,
            "{name} of {:?}",
            String::from_utf8_lossy(input)
        );
    }
    for transformation in Transformation::ALL {
        let tested = table
            .iter()
            .any(|(name, ..)| Transformation::by_name(name) == Some(transformation));
        assert!(tested, "{transformation:?} has no row");
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_a_transformation_panic(input: Vec<u8>) {
        for transformation in Transformation::ALL {
            let mut out = b"before".to_vec();
            transformation.apply(&input, &mut out);
            proptest::prop_assert!(out.starts_with(b"before"));
        }
    }

    #[test]
    fn a_value_without_the_bytes_it_touches_is_not_changed(input: Vec<u8>) {
        for transformation in Transformation::ALL {
            if transformation.may_leave() && !transformation.touches().meets(&ByteSet::of(&input)) {
                let mut out = Vec::new();
                transformation.apply(&input, &mut out);
                proptest::prop_assert_eq!(&out, &input);
            }
        }
    }
}
