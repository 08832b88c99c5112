//! Sockets as streams want them, for every loop alike.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use sse_state::Config;

/// A listener that does not block. Its connections inherit the options that streams want.
///
/// # Errors
/// As `bind`, a busy port for instance.
pub fn listen(addr: SocketAddr, config: &Config) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    // A server that restarts finds its port in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    #[cfg(target_os = "linux")]
    {
        // What the kernel takes of a slow stream beyond what the network takes.
        socket.set_tcp_notsent_lowat(128 << 10)?;
        // A peer that is gone without a word is given up, after the machine has.
        let user_timeout = config.write_timeout + Duration::from_secs(5);
        socket.set_tcp_user_timeout(Some(user_timeout))?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = config;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether a connection came to loopback. Where that cannot be told, the stricter rule holds.
pub fn is_local(local_addr: io::Result<SocketAddr>) -> bool {
    local_addr.map_or(true, |addr| addr.ip().to_canonical().is_loopback())
}

/// What an error of `accept` means.
pub enum Accept {
    /// Nobody waits.
    Nobody,
    /// One connection was lost; the next may wait.
    Next,
    /// There are no descriptors, for instance: to be tried again after [`ACCEPT_PAUSE`].
    Later,
}

impl From<&io::Error> for Accept {
    fn from(error: &io::Error) -> Accept {
        match error.kind() {
            ErrorKind::WouldBlock => Accept::Nobody,
            ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset => {
                Accept::Next
            }
            _ => Accept::Later,
        }
    }
}

/// Makes the coming close a reset. If that fails the client sees an orderly end.
pub fn reset_on_close<'s>(socket: impl Into<SockRef<'s>>) {
    let _ = socket.into().set_linger(Some(Duration::ZERO));
}

/// Time in which descriptors may come free.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that the kernel completes while the loop is busy.
const BACKLOG: i32 = 4096;
