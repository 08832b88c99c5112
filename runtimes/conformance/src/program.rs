//! The program of an example that serves [`example_service::Demo`], as a person would use it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::client::End;
use crate::process::{PATIENCE, Server};

/// Starts the program, streams and publishes, and ends it by SIGTERM.
///
/// # Errors
/// What is wrong with it.
pub fn check_demo(program: &Path) -> Result<(), String> {
    let mut command = Command::new(program);
    command.arg("127.0.0.1:0");
    // `NAME: curl -N http://ADDRESS/load, …`
    let mut server = Server::listen(command, |line| {
        let address = line.split("http://").nth(1)?.split('/').next()?;
        address.parse().ok()
    })?;
    let mut load = server.open("/load")?;
    load.until("a value", |client| !client.data().is_empty())?;
    let mut news = server.open("/news")?;
    server.publish("/news", "it rains")?;
    news.events(1)?;
    refuses_busy(program, server.addr)?;

    let kill = Command::new("kill")
        .args(["-TERM", &server.process_id().to_string()])
        .status();
    if !kill.is_ok_and(|status| status.success()) {
        return Err("kill".into());
    }
    for mut client in [load, news] {
        let end = client.rest()?;
        let farewell = client.blocks.last().is_some_and(|block| block.is_retry());
        if end != End::Orderly || !farewell {
            return Err(format!("{end:?} after {:?}", client.blocks.last()));
        }
    }
    let status = server.ended(PATIENCE)?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("it ended with {status}"))
    }
}

/// A second one on the same port says what is wrong.
fn refuses_busy(program: &Path, addr: SocketAddr) -> Result<(), String> {
    let second = Command::new(program)
        .arg(addr.to_string())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    if second.status.code() == Some(1) && said.contains(&addr.to_string()) {
        Ok(())
    } else {
        Err(format!("a busy port: {}, {said}", second.status))
    }
}
