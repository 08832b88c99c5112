//! Sockets as WIRE §8 wants them, for every runtime alike.
//!
//! Where a system lacks an option it is left out: `TCP_NOTSENT_LOWAT` and `TCP_USER_TIMEOUT` are Linux's
//! and Android's here; elsewhere the write timeout of the machine alone bounds a dead peer.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// A listener with a backlog of 4096, not blocking. (Runtimes default to 128, at which 256 clients that
/// connect at once lose SYNs.)
///
/// # Errors
/// As `bind` and `listen`, a busy port for instance.
pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A server that restarts finds its port in TIME_WAIT. On Windows the option would share the port.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// [`listen`]s on the first of these addresses that it can.
///
/// # Errors
/// That of the last address.
pub fn listen_first(addrs: impl IntoIterator<Item = SocketAddr>) -> io::Result<TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on");
    for addr in addrs {
        match listen(addr) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Whether the local address of a connection that was accepted is loopback.
///
/// # Errors
/// `ConnectionAborted`, which says nothing of the listener: where its address cannot be told, the peer has gone
/// already.
pub fn is_local<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<bool> {
    let local = socket.into().local_addr();
    let local = local.map_err(|_| io::Error::from(io::ErrorKind::ConnectionAborted))?;
    let addr = local.as_socket();
    Ok(addr.is_some_and(|addr| addr.ip().to_canonical().is_loopback()))
}

/// Whether an error of `accept` says something of one connection only. Any other, for want of descriptors for
/// instance, is waited out for [`ACCEPT_PAUSE`].
pub fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

/// Sets the options of WIRE §8: no delay, little unsent data in the kernel, half-open peers die after
/// `user_timeout`. A socket that refuses one works without it.
pub fn set_options<'s>(socket: impl Into<SockRef<'s>>, user_timeout: Duration) {
    let socket = socket.into();
    let _ = socket.set_tcp_nodelay(true);
    #[cfg(any(target_os = "android", target_os = "linux"))]
    {
        let _ = socket.set_tcp_notsent_lowat(NOTSENT_LOWAT);
        let _ = socket.set_tcp_user_timeout(Some(user_timeout));
    }
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    let _ = user_timeout;
}

/// Ends the write side (FIN).
///
/// # Errors
/// If the peer is gone.
pub fn shutdown_write<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<()> {
    socket.into().shutdown(Shutdown::Write)
}

/// Makes the coming close a reset (RST).
pub fn reset_on_close<'s>(socket: impl Into<SockRef<'s>>) {
    let _ = socket.into().set_linger(Some(Duration::ZERO));
}

/// Time in which descriptors may come free.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that the kernel completes while the server is busy.
const BACKLOG: i32 = 4096;
/// Bytes of a stream that the kernel takes beyond what the network takes; bounds its memory.
#[cfg(any(target_os = "android", target_os = "linux"))]
const NOTSENT_LOWAT: u32 = 128 << 10;
