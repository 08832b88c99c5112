//! The program as a person starts it, with one reader and with a thousand.

#[path = "../src/tokens.rs"]
mod tokens;

use std::net::SocketAddr;
use std::time::Duration;

use example_blackbox::{Event, Program};
use tokens::tokens;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn start(pace: &str) -> Program {
    Program::start(env!("CARGO_BIN_EXE_llm-tokens"), &["--pace", pace])
}

#[test]
fn an_answer_comes_token_by_token_and_ends() {
    let mut program = start("1");
    let events = program.stream("/answers/1?prompt=why%20so%3F").rest();
    let (end, answer) = events.split_last().expect("events");
    assert_eq!(end.name.as_deref(), Some("sse-end"));
    let data: Vec<&str> = answer.iter().map(|event| &*event.data).collect();
    assert_eq!(data, tokens("why so?").collect::<Vec<_>>());
    program.until("/answers/1: Finished");
    // Nothing of it is left.
    program.until_answer("/stats", r#""topics":0"#);
}

#[test]
fn who_leaves_stops_the_generation() {
    // Were it not stopped it would go on for longer than this test waits.
    let mut program = start("1000");
    let mut stream = program.stream("/answers/1?prompt=why");
    assert_eq!(Some(&*stream.data()), tokens("why").next());
    drop(stream);
    program.until("/answers/1: NoSubscribers");
    program.until_answer("/stats", r#""sources":0"#);
}

#[test]
fn two_who_ask_the_same_of_two_ids_are_answered_apart() {
    let program = start("1");
    let streams =
        ["/answers/1?prompt=a", "/answers/2?prompt=a"].map(|target| program.stream(target));
    let [one, two] = streams.map(|stream| stream.rest());
    assert_eq!(one, two);
    let stats = program.get("/stats").body;
    assert!(stats.contains(r#""sources_started":2"#), "{stats}");
}

#[test]
fn a_signal_ends_an_answer_without_calling_it_complete() {
    let program = start("1000");
    let mut stream = program.stream("/answers/1?prompt=why");
    stream.data();
    program.terminate();
    let is_end = |event: &Event| event.name.as_deref() == Some("sse-end");
    assert!(!stream.rest().iter().any(is_end));
    assert!(program.ended().contains("/answers/1: Shutdown"));
}

/// All are open at once, and each gets its own answer, whole and in order.
#[tokio::test]
async fn a_thousand_answers_at_once() {
    // Each takes 4 s or more, in which all have come.
    let program = start("100");
    let reading: Vec<_> = (0..THOUSAND)
        .map(|number| tokio::spawn(read(program.addr(), number)))
        .collect();
    let all = format!(r#""streams":{THOUSAND},"#);
    let program = tokio::task::spawn_blocking(move || {
        let stats = program.until_answer("/stats", &all);
        assert!(
            stats.contains(&format!(r#""sources":{THOUSAND},"#)),
            "{stats}"
        );
        program
    })
    .await
    .expect("all at once");
    for (number, reading) in reading.into_iter().enumerate() {
        let body = reading.await.expect("an answer");
        let answer: String = tokens(&prompt(number))
            .map(|token| format!("data: {token}\n\n"))
            .collect();
        let (retry, rest) = body.split_once("\n\nretry: ").expect("a beginning");
        assert_eq!(retry, ":", "{body}");
        let (_, rest) = rest.split_once("\n\n").expect("a number");
        let rest = rest
            .strip_prefix(&answer)
            .unwrap_or_else(|| panic!("{number}: {body}"));
        assert!(
            rest.starts_with("event: sse-end\n") && rest.matches("\n\n").count() == 1,
            "{rest}"
        );
    }
    let stats =
        tokio::task::spawn_blocking(move || program.until_answer("/stats", r#""sources":0"#)).await;
    let stats = stats.expect("it ends");
    assert!(
        stats.contains(&format!(r#""sources_started":{THOUSAND},"#)),
        "{stats}"
    );
}

/// The body of an answer, to its end.
async fn read(addr: SocketAddr, number: usize) -> String {
    let reading = async {
        let mut socket = TcpStream::connect(addr).await.expect("connects");
        let target = format!("/answers/{number}?prompt={}", prompt(number));
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        socket.write_all(request.as_bytes()).await.expect("sends");
        let mut text = String::new();
        socket
            .read_to_string(&mut text)
            .await
            .expect("an end in order");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        body.to_owned()
    };
    tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("an end")
}

fn prompt(number: usize) -> String {
    format!("question-{number}")
}

const THOUSAND: usize = 1000;
/// Only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(60);
