//! Faulty encoders.

use std::time::Duration;

use sse_state::EventError;

use super::{Fault as F, Ours, Payload, Subject};

pub(super) fn encode(fault: F, event: &Payload) -> Result<Vec<u8>, EventError> {
    let event = &before(fault, event)?;
    let bytes = Ours.encode(event)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let data = |data: String| Payload {
        data,
        ..event.clone()
    };
    Ok(match fault {
        F::DropsTheSpace => text.replace("data: ", "data:").into(),
        F::SplitsAtLfOnly => {
            let lines = event.data.split('\n').map(|line| format!("data: {line}\n"));
            with_data(event, &lines.collect::<String>())?
        }
        F::SplitsCrlfTwice => Ours.encode(&data(event.data.replace("\r\n", "\n\n")))?,
        F::LosesTheLastBreak => {
            let lines: Vec<&str> = event.data.lines().collect();
            Ours.encode(&data(lines.join("\n")))?
        }
        F::TrimsData => Ours.encode(&data(event.data.trim().into()))?,
        F::SkipsEmptyData if event.data.is_empty() => with_data(event, "")?,
        F::WritesCrlf => text.replace('\n', "\r\n").into(),
        F::ForgetsTheEmptyLine => text[..text.len() - 1].into(),
        F::WritesTwoEmptyLines => format!("{text}\n").into(),
        F::BeginsWithBom => format!("\u{feff}{text}").into(),
        F::WritesTheIdFirst => match &event.id {
            Some(id) => {
                let line = format!("id: {id}\n");
                let rest = text.strip_suffix(&format!("{line}\n"));
                format!("{line}{}\n", rest.unwrap_or(&text)).into()
            }
            None => bytes,
        },
        _ => bytes,
    })
}

/// What it makes of an event before it is encoded.
fn before(fault: F, event: &Payload) -> Result<Payload, EventError> {
    let mut event = event.clone();
    match fault {
        F::StripsBreaks => {
            let strip = |text: &str| text.replace(['\r', '\n', '\0'], "");
            event.name = strip(&event.name);
            event.id = event.id.map(|id| strip(&id));
        }
        F::TakesReservedNames => event.name = event.name.replace("sse-", "sse"),
        F::RefusesNul if event.data.contains('\0') => return Err(EventError::TooLarge),
        F::RetriesInSeconds => {
            event.retry = event
                .retry
                .map(|retry| retry.max(Duration::from_secs(1)) / 1000);
        }
        F::ClampsRetry => {
            let clamp =
                |retry: Duration| retry.clamp(Duration::from_millis(1), Duration::from_secs(3600));
            event.retry = event.retry.map(clamp);
        }
        F::CutsIds => event.id = event.id.map(|id| id.chars().take(64).collect()),
        F::CountsCharacters => {
            event.id = event.id.map(|id| {
                let few = id.chars().count() <= 128;
                if few && id.len() > 128 {
                    "é".into()
                } else {
                    id
                }
            })
        }
        _ => {}
    }
    Ok(event)
}

/// The event with other lines in the place of its data.
fn with_data(event: &Payload, lines: &str) -> Result<Vec<u8>, EventError> {
    let empty = Payload {
        data: String::new(),
        ..event.clone()
    };
    let text = String::from_utf8_lossy(&Ours.encode(&empty)?).into_owned();
    Ok(text.replacen("data: \n", lines, 1).into_bytes())
}
