//! The devices: a small server that answers for all of them, one reading per connection. It stands for what a
//! fieldbus coupler does.
//!
//! A client sends `READ boiler`, and reads `61.5 C` or, if the device has failed, `! 503 no signal`.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use sse_state_tokio::PollError;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What devices there are.
pub(crate) const DEVICES: [&str; 4] = ["battery", "boiler", "pump", "valve"];

/// Serves them on a port of its own.
pub(crate) async fn serve() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let reads = Reads::default();
    tokio::spawn(async move {
        loop {
            // Whatever is wrong with one connection, the next may be better.
            if let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(answer(socket, Arc::clone(&reads)));
            }
        }
    });
    Ok(addr)
}

/// How often each device was read.
type Reads = Arc<Mutex<BTreeMap<String, u32>>>;

async fn answer(socket: TcpStream, reads: Reads) -> io::Result<()> {
    let mut socket = BufReader::new(socket);
    let mut line = String::new();
    socket.read_line(&mut line).await?;
    let device = line.trim_end().strip_prefix("READ ").unwrap_or_default();
    let number = {
        let mut reads = reads.lock().unwrap_or_else(|broken| broken.into_inner());
        let number = reads.entry(device.to_owned()).or_default();
        *number += 1;
        *number
    };
    match reading(device, number) {
        Some(text) => socket.write_all(format!("{text}\n").as_bytes()).await,
        // It hangs until its client gives up.
        None => socket.read_to_end(&mut Vec::new()).await.map(|_| ()),
    }
}

/// What a device says when it is read for the nth time.
fn reading(device: &str, number: u32) -> Option<String> {
    let text = match device {
        // It is full after ten readings. In between it is used.
        "battery" => format!("{} %", 90 + (number - 1) % 11),
        "boiler" => format!("{:.1} C", 60.0 + f64::from(number % 20) / 10.0),
        "pump" if number.is_multiple_of(4) => "! 503 no signal".to_owned(),
        "pump" => format!("{} rpm", 1400 + number),
        "valve" => return None,
        _ => "! 404 no such device".to_owned(),
    };
    Some(text)
}

/// Reads a device: connects, asks, and is told.
pub(crate) async fn read(devices: SocketAddr, device: &str) -> Result<(f64, String), PollError> {
    let mut socket = BufReader::new(TcpStream::connect(devices).await?);
    socket
        .write_all(format!("READ {device}\n").as_bytes())
        .await?;
    let mut line = String::new();
    socket.read_line(&mut line).await?;
    parse(line.trim_end())
}

fn parse(line: &str) -> Result<(f64, String), PollError> {
    let nonsense = || PollError::new(502, "the device talks nonsense");
    let (first, rest) = line.split_once(' ').ok_or_else(nonsense)?;
    if first == "!" {
        let (status, message) = rest.split_once(' ').ok_or_else(nonsense)?;
        let status = status.parse().map_err(|_| nonsense())?;
        return Err(PollError::new(status, message));
    }
    let value = first.parse().map_err(|_| nonsense())?;
    Ok((value, rest.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_devices() {
        assert_eq!(parse("61.5 C"), Ok((61.5, "C".to_owned())));
        let failed = PollError::new(503, "no signal");
        assert_eq!(parse("! 503 no signal"), Err(failed));
        let nonsense = PollError::new(502, "the device talks nonsense");
        for line in ["", "61.5", "warm C", "! 503", "! often broken"] {
            assert_eq!(parse(line), Err(nonsense.clone()), "{line}");
        }
    }
}
