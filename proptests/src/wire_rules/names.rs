//! P8: one name for one thing, whoever says it.

use sse_state::http::{QueryRule, Refusal};

use super::good::Text;
use super::subject::{Parts, Subject};
use super::{Oracle, broken, show};
use crate::choice::Choice;

/// The topic of a request is the topic that a publisher means by its target.
pub(super) fn p8a_one_name(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let rule = rule(choice);
    let text = Text {
        target: target(choice),
        ..Text::choose(choice)
    };
    let named = subject.topic(&text.target, &rule);
    let mut head = subject.head(Default::default());
    head.push(&text.bytes());
    let Some(request) = head.request() else {
        return broken(named.is_ok(), || {
            format!("{} names {named:?} and is refused", text.target)
        });
    };
    let shown = subject.topic_of(&request, &rule);
    broken(shown != named, || {
        format!("{} names {named:?}, the hook sees {shown:?}", text.target)
    })
}

/// A request that a framework has parsed is seen as the same bytes are.
pub(super) fn p8b_mounted(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let text = Text {
        target: target(choice),
        ..Text::choose(choice)
    };
    let mut text = text.without("content-length");
    if choice.chance(1, 2) {
        text.add("Last-Event-ID: 1-7");
    }
    let mut head = subject.head(Default::default());
    head.push(&text.bytes());
    let fields = text.lines.iter().filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = String::from_utf8(line[..colon].to_vec()).ok()?;
        Some((name, line[colon + 1..].trim_ascii().to_vec()))
    });
    let parts = Parts {
        method: text.method.clone(),
        target: text.target.clone(),
        fields: fields.collect(),
    };
    let mounted = subject.mounted(&parts).ok();
    let [read, mounted] = [head.request(), mounted].map(|request| {
        let rule = QueryRule::all();
        request.map(|request| (subject.topic_of(&request, &rule), subject.see(&request)))
    });
    broken(read != mounted, || {
        format!("{}: {read:?}, mounted {mounted:?}", show(&text.bytes()))
    })
}

/// Two spellings of a path are one name: it is decoded once, and once only.
pub(super) fn p8c_spellings(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let chars = [
        "%41", "a", "Z", "9", "-", "~", "+", "%", " ", "é", "€", ";", "/", ":",
    ];
    let path: String = (0..1 + choice.pick(6))
        .map(|_| choice.one_of(&chars))
        .collect();
    let mut spelled = String::from("/");
    for byte in path.bytes() {
        let plain = byte.is_ascii_graphic() && byte != b'%';
        let escaped = byte != b'/' && (!plain || choice.chance(1, 3));
        if escaped {
            let upper = choice.chance(1, 2);
            spelled.push_str(&if upper {
                format!("%{byte:02X}")
            } else {
                format!("%{byte:02x}")
            });
        } else {
            spelled.push(char::from(byte));
        }
    }
    let named = subject.topic(&spelled, &QueryRule::all());
    broken(named.as_deref() != Ok(&format!("/{path}")), || {
        format!("{spelled} names {named:?}")
    })
}

/// The parameters that carry an id, and `event` on a publish route, belong to no topic; all else stays as sent.
pub(super) fn p8d_query(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let publishes = choice.chance(1, 2);
    let mut kept = Vec::new();
    let mut sent = Vec::new();
    for _ in 0..choice.pick(5) {
        let (parameter, never, event) = choice.one_of(&[
            ("x=1", false, false),
            ("x=%20", false, false),
            ("b", false, false),
            ("offset=10", false, false),
            ("lasteventid=1", false, false),
            ("xlastEventId=1", false, false),
            ("x=lastEventId", false, false),
            ("lastEventId=7", true, false),
            ("last_event_id", true, false),
            ("last%45ventId=7", true, false),
            ("event=e", false, true),
            ("%65vent=e", false, true),
            ("events=e", false, false),
        ]);
        sent.push(parameter);
        if !(never || event && publishes) {
            kept.push(parameter);
        }
    }
    let rule = if publishes {
        QueryRule::all().for_publish()
    } else {
        QueryRule::all()
    };
    let (target, expected) = match (sent.is_empty(), kept.is_empty()) {
        (true, _) => (choice.one_of(&["/a", "/a?"]).into(), "/a".into()),
        (_, true) => (format!("/a?{}", sent.join("&")), "/a".into()),
        _ => (
            format!("/a?{}", sent.join("&")),
            format!("/a?{}", kept.join("&")),
        ),
    };
    let named = subject.topic(&target, &rule);
    broken(named.as_deref() != Ok(&expected), || {
        format!("{target} names {named:?} and not {expected}")
    })
}

/// A route that keeps only named parameters keeps them in its own order, with their values as sent.
pub(super) fn p8e_only(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let rule = QueryRule::only(["b", "a"]).map_err(|error| error.to_string())?;
    let mut sent = Vec::new();
    for _ in 0..choice.pick(6) {
        sent.push(choice.one_of(&[
            "a=1",
            "b=%32",
            "a",
            "b=",
            "c=1",
            "utm=x",
            "aa=1",
            "lastEventId=1",
        ]));
    }
    let of = |name: &str| {
        let ours = sent.iter().copied();
        ours.filter(|sent| sent.split('=').next() == Some(name))
            .collect::<Vec<_>>()
    };
    let kept = [of("b"), of("a")].concat().join("&");
    let expected = if kept.is_empty() {
        "/t".into()
    } else {
        format!("/t?{kept}")
    };
    let target = format!("/t?{}", sent.join("&"));
    let named = subject.topic(&target, &rule);
    broken(named.as_deref() != Ok(&expected), || {
        format!("{target} names {named:?} and not {expected}")
    })
}

/// `?event=` is decoded once; twice, or not UTF-8, it is refused.
pub(super) fn p8f_event(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let bad = Err(Refusal::QueryParameter);
    let (query, expected) = choice.one_of(&[
        ("x=1&event=door", Ok(Some("door"))),
        ("event=door+%C3%A4&x=2", Ok(Some("door ä"))),
        ("event=a%0Ab", Ok(Some("a\nb"))),
        ("event=%2541", Ok(Some("%41"))),
        ("event=a%2Bb", Ok(Some("a+b"))),
        ("%65vent=z", Ok(Some("z"))),
        ("event", Ok(Some(""))),
        ("events=1&Event=2", Ok(None)),
        ("", Ok(None)),
        ("event=a&event=a", bad),
        ("event=a&%65vent=b", bad),
        ("event=%FF", bad),
    ]);
    let said = subject.parameter(query, "event");
    let seen = said.as_ref().map(Option::as_deref).map_err(|why| *why);
    broken(seen != expected, || format!("{query}: {said:?}"))
}

fn rule(choice: &mut Oracle<'_>) -> QueryRule {
    match choice.pick(3) {
        0 => QueryRule::all(),
        1 => QueryRule::all().for_publish(),
        _ => QueryRule::only(["x", "offset"]).unwrap_or_default(),
    }
}

/// A target of all that may stand in one, and a little that may not.
fn target(choice: &mut Oracle<'_>) -> String {
    let parts = [
        "a",
        "/",
        "%61",
        "%2541",
        "%20",
        "%C3%A4",
        "+",
        "?",
        "&",
        "x=1",
        "lastEventId=7",
        "event=e",
        ".",
        "%2E",
        "..",
        "%2F",
        "%",
        "%0A",
        ":",
        "offset=10",
    ];
    let rest = (0..choice.pick(8)).map(|_| choice.one_of(&parts));
    core::iter::once("/").chain(rest).collect()
}
