//! The two small formats: dates of answers, and untrusted bytes in logs.
#![cfg(feature = "http")]

use sse_state::http::{escape_for_log, http_date};

#[test]
fn w3_date_is_an_imf_fixdate() {
    for (seconds, text) in [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (1, "Thu, 01 Jan 1970 00:00:01 GMT"),
        (86_399, "Thu, 01 Jan 1970 23:59:59 GMT"),
        (86_400, "Fri, 02 Jan 1970 00:00:00 GMT"),
        (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
        (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
        (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        (4_294_967_296, "Sun, 07 Feb 2106 06:28:16 GMT"),
        (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (253_402_300_800, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ] {
        let date = http_date(seconds);
        assert_eq!(date.as_str(), text, "{seconds}");
        assert_eq!(
            (date.to_string().as_bytes(), date.as_bytes().as_slice()),
            (text.as_bytes(), text.as_bytes())
        );
    }
    assert_eq!(
        format!("{:?}", http_date(0)),
        "HttpDate(Thu, 01 Jan 1970 00:00:00 GMT)"
    );
}

/// Every day of 430 years against a calendar that counts days one by one.
#[test]
fn w3_date_follows_the_calendar_day_by_day() {
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let mut day = 0_u64;
    for year in 1970..2400 {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let lengths = [
            31,
            if leap { 29 } else { 28 },
            31,
            30,
            31,
            30,
            31,
            31,
            30,
            31,
            30,
            31,
        ];
        for (month, length) in months.iter().zip(lengths) {
            for of_month in 1..=length {
                let weekday = weekdays[(day % 7) as usize];
                let expected = format!("{weekday}, {of_month:02} {month} {year} 12:34:56 GMT");
                assert_eq!(http_date(day * 86_400 + 45_296).as_str(), expected);
                day += 1;
            }
        }
    }
}

#[test]
fn w7_untrusted_bytes_are_escaped_for_logs() {
    for (bytes, shown) in [
        (b"/a b?c".as_slice(), "/a b?c"),
        (b"", ""),
        (b"a\r\nforged", r"a\r\nforged"),
        (b"\0\t\x1b[31m\x7f", r"\x00\t\x1b[31m\x7f"),
        ("ä\u{202E}".as_bytes(), r"\xc3\xa4\xe2\x80\xae"),
        (b"\"'\\", r#"\"\'\\"#),
    ] {
        assert_eq!(escape_for_log(bytes).to_string(), shown);
    }
    assert_eq!(format!("{:?}", escape_for_log(b"a\n")), "\"a\\n\"");
}

#[test]
fn w7_untrusted_bytes_are_cut_to_128_bytes_in_logs() {
    let of = |bytes: &[u8]| escape_for_log(bytes).to_string();
    assert_eq!(of(&[b'a'; 127]), "a".repeat(127));
    assert_eq!(of(&[b'a'; 128]), "a".repeat(128));
    assert_eq!(of(&[b'a'; 129]), format!("{}...", "a".repeat(125)));
    assert_eq!(of(&[0; 32]), r"\x00".repeat(32), "128 bytes exactly");
    assert_eq!(
        of(&[0; 33]),
        format!("{}...", r"\x00".repeat(31)),
        "no escape is cut in two"
    );
    assert_eq!(
        of(&vec![b'\n'; 10_000_000]),
        format!("{}...", r"\n".repeat(62))
    );
    for byte in 0..=u8::MAX {
        for length in [1, 63, 64, 65, 200] {
            let shown = of(&vec![byte; length]);
            assert!(shown.len() <= 128, "{byte:#x} × {length}");
            assert!(
                shown.bytes().all(|byte| matches!(byte, b' '..=b'~')),
                "{byte:#x}"
            );
        }
    }
}
