//! P7: docs/wire.md §2 row by row. A request that is right passes; with one thing broken it is refused,
//! for that reason, however it is cut.

use sse_state::http::{Allow, Method, OriginRules, QueryRule, Refusal};

use super::good::{HARMLESS, HOST, Text, door};
use super::heads::done;
use super::subject::{Admitted, Door, Served, Subject, serve};
use super::{Oracle, broken, pieces, show};
use crate::choice::Choice;

/// A request that is right passes, and is what it says.
pub(super) fn p7a_served(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let text = Text::choose(choice);
    let expected = match text.method.as_str() {
        "GET" => Admitted::Stream(text.target.clone()),
        "HEAD" => Admitted::Fields,
        "OPTIONS" => Admitted::Options,
        _ => Admitted::Publish(text.target.clone()),
    };
    let seen = done(subject, &text.bytes(), choice)?;
    let length = (text.method == "POST").then_some(5);
    let same = seen.method.as_str() == text.method
        && seen.target == text.target
        && seen.host.as_deref() == Some(HOST)
        && seen.length == length
        && seen.fields.len() == text.lines.len();
    broken(!same, || format!("{}: {seen:?}", show(&text.bytes())))?;
    decided(subject, &door(), &text, choice, Ok(expected))
}

/// A CR without LF or a LF without CR, anywhere, is 400.
pub(super) fn p7b_line_ends(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let text = Text {
        before: "",
        ..Text::choose(choice)
    };
    let head = text.bytes();
    let ends: Vec<usize> = (0..head.len()).filter(|at| head[*at] == b'\r').collect();
    let end = ends[choice.pick(ends.len() as u32) as usize];
    let inside = choice.pick(end as u32) as usize;
    let mut bad = head.clone();
    match choice.pick(4) {
        // One byte of a CRLF is missing.
        0 => drop(bad.remove(end)),
        1 => {
            bad.remove(end + 1);
            // At the very end nothing follows the CR, so that nothing is wrong yet.
            bad.push(b'a');
        }
        // One stands where none belongs.
        _ if [b'\r', b'\n'].contains(&head[inside]) || inside == 0 => bad[0] = b'\n',
        2 => bad[inside] = b'\r',
        _ => bad[inside] = b'\n',
    }
    let served = serve(subject, &door(), &pieces(&bad, choice));
    let why = refusal(&served).map(|why| why.status());
    broken(why != Some(400), || format!("{}: {served:?}", show(&bad)))
}

/// One empty line before the request line is allowed, a second one is 400.
pub(super) fn p7c_empty_lines(
    subject: &dyn Subject,
    choice: &mut Oracle<'_>,
) -> Result<(), String> {
    let mut text = Text::choose(choice);
    text.before = "\r\n";
    done(subject, &text.bytes(), choice)?;
    text.before = choice.one_of(&["\r\n\r\n", "\r\n\r\n\r\n"]);
    is_refused(subject, &text, choice, &[Refusal::RequestLine])
}

/// A control byte is 400, but for a tab in a field line.
pub(super) fn p7d_control(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let mut text = Text::choose(choice);
    let byte = match choice.pick(34) {
        33 => 0x7F,
        byte => byte as u8,
    };
    if matches!(byte, b'\r' | b'\n' | b' ') {
        return Ok(());
    }
    let char = char::from(byte);
    match choice.pick(4) {
        0 => text.method.push(char),
        1 => text.target.push(char),
        2 => text.version.push(char),
        _ => {
            text.lines.push([b"X: a", [byte].as_slice(), b"b"].concat());
            if byte == b'\t' {
                return done(subject, &text.bytes(), choice).map(drop);
            }
        }
    }
    is_refused(subject, &text, choice, &[Refusal::ControlByte])
}

/// A request line that is not `method SP target SP HTTP/d.d` is 400.
pub(super) fn p7e_request_line(
    subject: &dyn Subject,
    choice: &mut Oracle<'_>,
) -> Result<(), String> {
    let mut text = Text::choose(choice);
    match choice.pick(5) {
        0 => text.method = choice.one_of(&["", "G(T", "G\u{e9}T", "GE T"]).into(),
        1 => text.target = choice.one_of(&["", "/ x", " /"]).into(),
        2 => {
            let versions = [
                "http/1.1",
                "HTTP/1",
                "HTTP/1.",
                "HTTP/11",
                "HTTP/1.10",
                "HTTP/-1.1",
                "XTTP/1.1",
                "",
                "HTTP/1,1",
            ];
            text.version = choice.one_of(&versions).into();
        }
        3 => text.version.push(' '),
        _ => text.version.insert(0, ' '),
    }
    is_refused(subject, &text, choice, &[Refusal::RequestLine])
}

/// An absolute-form target is served, and its authority replaces `Host`.
pub(super) fn p7f_absolute(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let mut text = Text::choose(choice);
    let scheme = choice.one_of(&["http", "https", "HTTP"]);
    let authority = choice.one_of(&["real.example", "real.example:8443", "[::1]:80", "10.0.0.1"]);
    let target = text.target.clone();
    text.target = format!("{scheme}://{authority}{target}");
    let seen = done(subject, &text.bytes(), choice)?;
    let path = target.split('?').next();
    let same = seen.host.as_deref() == Some(authority) && Some(seen.path.as_str()) == path;
    broken(!same, || format!("{}: {seen:?}", text.target))?;
    let bad = choice.one_of(&["", "u@h", "h:99999", "h:x", "[::1", "h:+1", "a b", "h/../x"]);
    text.target = format!("{scheme}://{bad}/a");
    let reasons = [
        Refusal::HostInvalid,
        Refusal::RequestLine,
        Refusal::DotSegment,
    ];
    is_refused(subject, &text, choice, &reasons)
}

/// `*` is served with OPTIONS only; an authority-form and any other form is 400.
pub(super) fn p7g_forms(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let mut text = Text::choose(choice);
    let star = choice.chance(1, 2);
    text.target = if star {
        "*".into()
    } else {
        choice
            .one_of(&[
                "h.example:80",
                "a",
                "ftp://h/a",
                "?a",
                "*a",
                "http:/a",
                "file:///a",
            ])
            .into()
    };
    if star && text.method == "OPTIONS" {
        return decided(subject, &door(), &text, choice, Ok(Admitted::Options));
    }
    is_refused(subject, &text, choice, &[Refusal::TargetForm])
}

/// Two lengths, or one that is no number below 2⁶⁴, are 400.
pub(super) fn p7h_lengths(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let text = Text::choose(choice).of_method("GET");
    let values = [
        "",
        "-1",
        "+1",
        "1x",
        "0x10",
        "1.0",
        "1 0",
        "5, 5",
        "0, 0",
        "18446744073709551616",
        "\u{661}",
    ];
    let text = if choice.chance(1, 2) {
        let value = choice.one_of(&values);
        text.with(&format!("Content-Length: {value}"), choice)
    } else {
        let [first, second] = choice.one_of(&[["0", "0"], ["5", "5"], ["5", "6"], ["0", "5"]]);
        text.with(&format!("Content-Length: {first}"), choice)
            .with(&format!("content-length: {second}"), choice)
    };
    let text = Text {
        method: choice.one_of(&["GET", "POST", "OPTIONS", "PUT"]).into(),
        ..text
    };
    is_refused(subject, &text, choice, &[Refusal::ContentLength])
}

/// A length together with a transfer coding is 400.
pub(super) fn p7i_coding(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let coding = choice.one_of(&["chunked", "identity", "gzip, chunked", ""]);
    let length = choice.one_of(&["0", "5"]);
    let text = Text::choose(choice)
        .without("content-length")
        .with(&format!("Transfer-Encoding: {coding}"), choice)
        .with(&format!("Content-Length: {length}"), choice);
    is_refused(subject, &text, choice, &[Refusal::LengthWithCoding])
}

/// Folding, a space before the colon, an odd or empty name, no colon: 400.
pub(super) fn p7j_field_lines(
    subject: &dyn Subject,
    choice: &mut Oracle<'_>,
) -> Result<(), String> {
    let bad = [
        " folded",
        "\tfolded",
        " A: b",
        "A : b",
        "A\t: b",
        "A b: c",
        ": b",
        ":",
        "A",
        "A(: b",
        "A\u{e9}: b",
        "\"A\": b",
        "Host : h",
        "Content-Length : 5",
    ];
    let line = choice.one_of(&bad);
    let text = Text::choose(choice).with(line, choice);
    is_refused(subject, &text, choice, &[Refusal::FieldLine])
}

/// GET, HEAD and OPTIONS have no body: a length of 0 is served, all else is 400.
pub(super) fn p7k_no_body(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let method = choice.one_of(&["GET", "HEAD", "OPTIONS"]);
    let text = Text::choose(choice).of_method(method);
    let empty = text.clone().with("Content-Length: 0", choice);
    done(subject, &empty.bytes(), choice)?;
    let line = choice.one_of(&[
        "Content-Length: 1",
        "Content-Length: 18446744073709551615",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: identity",
    ]);
    is_refused(
        subject,
        &text.with(line, choice),
        choice,
        &[Refusal::BodyNotAllowed],
    )
}

/// `Range`, conditions, `Upgrade`, `Accept` and codings change nothing of what is decided and said.
pub(super) fn p7l_ignored(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let text = Text::choose(choice);
    let line = choice.one_of(&HARMLESS);
    let more = text.clone().with(line, choice);
    let without = serve(subject, &door(), &[&text.bytes()]);
    let with = serve(subject, &door(), &pieces(&more.bytes(), choice));
    broken(without != with, || format!("{line}: {without:?}, {with:?}"))
}

/// Any `Expect` is 417.
pub(super) fn p7m_expect(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let line = choice.one_of(&["Expect: 100-continue", "expect: something", "EXPECT:"]);
    let text = Text::choose(choice).with(line, choice);
    is_refused(subject, &text, choice, &[Refusal::Expectation])
}

/// A method that a route does not serve is 405, one that nobody knows is 501; methods have their case.
pub(super) fn p7n_methods(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let text = Text::choose(choice);
    let unknown = choice.one_of(&["BREW", "get", "Get", "GETT", "PROPFIND", "QUERY", "HEADX"]);
    let text = text.of_method(unknown);
    is_refused(subject, &text, choice, &[Refusal::UnknownMethod])?;
    let known = choice.one_of(&[
        "GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE",
    ]);
    let text = text.of_method(known);
    let allow = choice.one_of(&[Allow::Get, Allow::Post, Allow::GetPost]);
    let door = Door { allow, ..door() };
    let served = match known {
        "GET" | "HEAD" => allow != Allow::Post,
        "POST" => allow != Allow::Get,
        other => other == "OPTIONS",
    };
    let served_now = serve(subject, &door, &pieces(&text.bytes(), choice));
    let expected = (!served).then_some(Refusal::MethodNotAllowed(allow));
    broken(refusal(&served_now) != expected, || {
        format!("{known} on {allow:?}: {served_now:?}")
    })
}

/// Another major version and the preface of HTTP/2 are 505; HTTP/1.0 works; 1.2 is spoken to as 1.1.
pub(super) fn p7o_versions(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let mut text = Text::choose(choice);
    match choice.pick(4) {
        0 => {
            text.version = choice
                .one_of(&["HTTP/0.9", "HTTP/2.0", "HTTP/3.0", "HTTP/9.9"])
                .into();
            is_refused(subject, &text, choice, &[Refusal::Version])
        }
        1 => {
            let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
            let served = serve(subject, &door(), &pieces(preface, choice));
            broken(refusal(&served) != Some(Refusal::Version), || {
                format!("the preface: {served:?}")
            })
        }
        2 => {
            text.version = "HTTP/1.0".into();
            let text = text.without("host");
            let seen = done(subject, &text.bytes(), choice)?;
            broken((seen.minor, &seen.host) != (0, &None), || {
                format!("{seen:?}")
            })
        }
        _ => {
            text.version = choice.one_of(&["HTTP/1.2", "HTTP/1.9"]).into();
            let seen = done(subject, &text.bytes(), choice)?;
            broken(seen.minor != 1, || format!("{}: {seen:?}", text.version))
        }
    }
}

/// HTTP/1.1 without `Host`, with two, or with a malformed one is 400.
pub(super) fn p7p_host(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let text = Text::choose(choice);
    let (text, why) = match choice.pick(3) {
        0 => (text.without("host"), Refusal::HostMissing),
        1 => {
            let line = choice.one_of(&["Host: h.example", "host: evil.example", "HOST:"]);
            (text.with(line, choice), Refusal::HostRepeated)
        }
        _ => {
            let bad = [
                "", "a b", "a/b", "u@h", "h:x", "h:65536", "h:+1", "[::1", "[::1]x", "[g]", "h,i",
                "h%2", "ä", "h?",
            ];
            let bad = choice.one_of(&bad);
            let text = text.without("host").with(&format!("Host: {bad}"), choice);
            (text, Refusal::HostInvalid)
        }
    };
    if text.lines.iter().any(|line| line.ends_with(b"h,i")) {
        // A comma may stand in a registered name (RFC 3986 §3.2.2).
        return done(subject, &text.bytes(), choice).map(drop);
    }
    is_refused(subject, &text, choice, &[why])
}

/// On a loopback address only the names of this machine are served, and those that the author lists: 421.
pub(super) fn p7q_rebinding(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let (host, local) = choice.one_of(&[
        ("localhost", true),
        ("LocalHost:8080", true),
        ("a.localhost", true),
        ("127.0.0.1", true),
        ("127.255.1.2:80", true),
        ("[::1]:8080", true),
        ("h.example", false),
        ("localhost.evil.example", false),
        ("evillocalhost", false),
        (".localhost.x", false),
        ("128.0.0.1", false),
        ("127.0.0.1.evil.example", false),
        ("[::2]", false),
        ("0.0.0.0", false),
        ("listed.example:3000", true),
        ("LISTED.example", true),
        ("port.example:1", true),
        ("port.example:2", false),
        ("port.example", false),
    ]);
    let loopback = choice.chance(3, 4);
    let door = Door {
        loopback,
        allowed_hosts: vec![
            "listed.example".into(),
            "port.example:1".into(),
            "no host/".into(),
        ],
        ..door()
    };
    let text = Text::choose(choice)
        .of_method("GET")
        .without("host")
        .with(&format!("Host: {host}"), choice);
    let served = serve(subject, &door, &pieces(&text.bytes(), choice));
    let expected = (loopback && !local).then_some(Refusal::HostNotAllowed);
    broken(refusal(&served) != expected, || {
        format!("{host}, loopback {loopback}: {served:?}")
    })
}

/// A cross-site request is 403, unless its origin is listed; OPTIONS always passes.
pub(super) fn p7r_cross_site(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let method = choice.one_of(&["GET", "HEAD", "POST", "OPTIONS"]);
    let mut text = Text::choose(choice).of_method(method);
    let origin = choice.one_of(&[
        None,
        Some(("https://h.example", true, false)),
        Some(("http://h.example:80", true, false)),
        Some(("https://app.example", false, true)),
        Some(("https://APP.example", false, false)),
        Some(("https://app.example.evil.example", false, false)),
        Some(("https://evil.example", false, false)),
        Some(("https://h.example.evil.example", false, false)),
        Some(("https://h.example:444", false, false)),
        Some(("null", false, false)),
        Some(("h.example", false, false)),
        Some(("", false, false)),
    ]);
    let site = choice.one_of(&[
        None,
        Some(("same-origin", true)),
        Some(("none", true)),
        Some(("same-site", false)),
        Some(("cross-site", false)),
        Some(("Same-Origin", false)),
        Some(("", false)),
    ]);
    let twice = choice.one_of(&[0, 0, 0, 0, 1, 2]);
    if let Some((origin, ..)) = origin {
        for _ in 0..1 + u32::from(twice == 1) {
            text.add_somewhere(&format!("Origin: {origin}"), choice);
        }
    }
    if let Some((site, _)) = site {
        for _ in 0..1 + u32::from(twice == 2) {
            text.add_somewhere(&format!("Sec-Fetch-Site: {site}"), choice);
        }
    }
    let listed = choice.chance(1, 2);
    let origins = if listed {
        OriginRules::list(["https://app.example"]).map_err(|error| error.to_string())?
    } else {
        OriginRules::same_origin()
    };
    let passes = match (origin, site) {
        _ if method == "OPTIONS" => true,
        (Some(_), _) if twice == 1 => false,
        (Some((_, _, true)), _) if listed => true,
        (_, Some(_)) if twice == 2 => false,
        (_, Some((_, same))) => same,
        (Some((_, same, _)), None) => same,
        (None, None) => true,
    };
    let served = serve(
        subject,
        &Door { origins, ..door() },
        &pieces(&text.bytes(), choice),
    );
    let expected = (!passes).then_some(Refusal::CrossSite);
    broken(refusal(&served) != expected, || {
        format!("{} listed {listed}: {served:?}", show(&text.bytes()))
    })
}

/// Of a target only what WIRE §1 lets stand is served; all else is 400, for its reason.
pub(super) fn p7s_targets(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    use Refusal::{BadTriplet, DotSegment, EscapedDelimiter, PathControl, PathNotUtf8, TargetByte};
    let (target, why) = choice.one_of(&[
        ("/a#b", TargetByte),
        ("/a\\b", TargetByte),
        ("/a?x=\\", TargetByte),
        ("/\u{e9}", TargetByte),
        ("/a%", BadTriplet),
        ("/a%2", BadTriplet),
        ("/a%zz", BadTriplet),
        ("/a?x=%", BadTriplet),
        ("/a?x=%+1", BadTriplet),
        ("/a%2Fb", EscapedDelimiter),
        ("/a%2fb", EscapedDelimiter),
        ("/a%5Cb", EscapedDelimiter),
        ("/a%3Fb", EscapedDelimiter),
        ("/%C3", PathNotUtf8),
        ("/%FF", PathNotUtf8),
        ("/%ED%A0%80", PathNotUtf8),
        ("/%C0%AF", PathNotUtf8),
        ("/a%00b", PathControl),
        ("/a%0Ab", PathControl),
        ("/a%7Fb", PathControl),
        ("/a%C2%85b", PathControl),
        ("/.", DotSegment),
        ("/a/../b", DotSegment),
        ("/a/%2E%2e/b", DotSegment),
        ("/a/.%2e", DotSegment),
        ("/./a?x", DotSegment),
    ]);
    let text = Text {
        target: target.into(),
        ..Text::choose(choice)
    };
    is_refused(subject, &text, choice, &[why])?;
    let named = subject.topic(target, &QueryRule::all());
    broken(named != Err(why), || format!("{target:?} names {named:?}"))
}

/// HEAD, OPTIONS, and what is refused open nothing and publish nothing.
pub(super) fn p6_opens_nothing(
    subject: &dyn Subject,
    choice: &mut Oracle<'_>,
) -> Result<(), String> {
    let mut text = Text::choose(choice);
    let mut door = door();
    let spoilt = choice.pick(5);
    match spoilt {
        0 => text = text.with("Sec-Fetch-Site: cross-site", choice),
        1 => door.loopback = true,
        2 => text = text.with("Expect: x", choice),
        3 => door.allow = choice.one_of(&[Allow::Get, Allow::Post]),
        _ => {}
    }
    let served = serve(subject, &door, &pieces(&text.bytes(), choice));
    let Served::Answered { admitted, .. } = &served else {
        return Err(format!("{}: {served:?}", show(&text.bytes())));
    };
    let (opens, publishes) = (
        matches!(admitted, Ok(Admitted::Stream(_))),
        matches!(admitted, Ok(Admitted::Publish(_))),
    );
    let may = spoilt >= 3;
    let may_open = may && text.method == Method::Get.as_str() && door.allow != Allow::Post;
    let may_publish = may && text.method == Method::Post.as_str() && door.allow != Allow::Get;
    broken(opens && !may_open || publishes && !may_publish, || {
        format!("{}: {served:?}", show(&text.bytes()))
    })
}

/// A request is refused for one of these reasons.
fn is_refused(
    subject: &dyn Subject,
    text: &Text,
    choice: &mut Oracle<'_>,
    reasons: &[Refusal],
) -> Result<(), String> {
    let head = text.bytes();
    let served = serve(subject, &door(), &pieces(&head, choice));
    let right = refusal(&served).is_some_and(|why| reasons.contains(&why));
    broken(!right, || {
        format!("{}: {served:?} and not {reasons:?}", show(&head))
    })
}

fn decided(
    subject: &dyn Subject,
    door: &Door,
    text: &Text,
    choice: &mut Oracle<'_>,
    expected: Result<Admitted, Refusal>,
) -> Result<(), String> {
    let head = text.bytes();
    let served = serve(subject, door, &pieces(&head, choice));
    let right = matches!(&served, Served::Answered { admitted, .. } if *admitted == expected);
    broken(!right, || {
        format!("{}: {served:?} and not {expected:?}", show(&head))
    })
}

/// Why a connection was not served.
fn refusal(served: &Served) -> Option<Refusal> {
    match served {
        Served::Answered {
            admitted: Err(why), ..
        } => Some(*why),
        _ => None,
    }
}
