//! What the clients got in the end.

use std::collections::BTreeMap;

use sse_state::CloseReason;

use crate::script::{Client, NEWS, WAIT, World, body};
use crate::wire::Parser;

/// Reads what every client got.
pub(super) fn check(world: &mut World) {
    let wrong = world.clients.iter().enumerate().find_map(|(key, client)| {
        let why = read(client).err()?;
        Some(format!("client {key} got {why}"))
    });
    if let Some(wrong) = wrong {
        world.duties.ledger().broken("K22", wrong);
    }
    for key in 0..world.clients.len() {
        let client = &world.clients[key];
        let (reason, tried) = world.duties.ledger().end_of(key);
        let by_the_loop = matches!(reason, Some(CloseReason::Asked | CloseReason::Answered));
        let why = if by_the_loop && client.was_ignored() {
            "sent a whole request, and got no answer"
        } else if by_the_loop && client.asks_for_a_topic() && !tried {
            "asked for a topic, and the machine was never asked to open its stream"
        } else {
            continue;
        };
        let text = format!("client {key} {why}");
        world.duties.ledger().broken("K21", text);
    }
    let gap = |client: &Client| {
        client
            .received()
            .windows(14)
            .any(|word| word == b"event: sse-gap")
    };
    if world.clients.iter().any(gap) {
        world.duties.ledger().reached.insert("sse-gap".into());
    }
    let open = world.clients.iter().position(Client::is_held);
    if let Some(key) = open {
        let text = format!("the loop has ended, and the socket of client {key} is open");
        world.duties.ledger().broken("K24", text);
    }
}

/// What is wrong with what a client got.
fn read(client: &Client) -> Result<(), String> {
    let received = client.received();
    let Some(body) = body(received).filter(|_| received.starts_with(b"HTTP/1.1 200 ")) else {
        return Ok(());
    };
    let path = client.path().unwrap_or_default();
    let mut parser = Parser::new();
    // The last value of each topic; a notice of a gap excuses the next jump.
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    let mut gap = false;
    for block in parser.push(body) {
        gap |= block.name.as_deref() == Some("sse-gap");
        let Some(data) = block.data.as_ref().filter(|_| block.name.is_none()) else {
            continue;
        };
        let mut words = data.split(' ');
        let (topic, count) = (
            words.next(),
            words.next().and_then(|count| count.parse::<u64>().ok()),
        );
        let (Some(topic), Some(count)) = (topic, count) else {
            return Err(format!("{data:?}, which nobody published"));
        };
        if topic != path {
            return Err(format!("a value of {topic}, and asked for {path}"));
        }
        let before = last.insert(topic.into(), count);
        // Publishers that wait overtake each other.
        let Some(before) = before.filter(|_| topic != WAIT) else {
            continue;
        };
        if count <= before {
            return Err(format!("value {count} of {topic} after {before}"));
        }
        if topic == NEWS && count != before + 1 && !gap {
            return Err(format!(
                "value {count} of {topic} after {before}, and no word of a gap"
            ));
        }
        gap = false;
    }
    if client.saw_the_end() && !parser.unfinished().is_empty() {
        return Err("an orderly end in the middle of an event".into());
    }
    Ok(())
}
