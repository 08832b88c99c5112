#![doc = include_str!("../README.md")]
#![cfg(target_os = "linux")]

mod ring;
mod server;

use std::io;

pub use server::{Figures, Handle, Loop};

/// What stands in the way of io_uring here, if anything does.
///
/// # Errors
/// The reason, for a person.
pub fn available() -> Result<(), String> {
    ring::Ring::new().map(drop).map_err(|error| explain(&error))
}

/// Tells a kernel that has no io_uring from one that refuses it.
fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => "this kernel has no io_uring (it needs Linux 5.11)".into(),
        Some(libc::EPERM | libc::EACCES) => {
            "io_uring is refused here: see the sysctl kernel.io_uring_disabled, or the seccomp \
             profile of the container"
                .into()
        }
        _ => format!("io_uring: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::explain;

    #[test]
    fn none_and_refused_are_told_apart() {
        let said = |number| explain(&std::io::Error::from_raw_os_error(number));
        assert!(said(libc::ENOSYS).contains("no io_uring"));
        assert!(said(libc::EPERM).contains("io_uring_disabled"));
        assert!(said(libc::ENOMEM).starts_with("io_uring: "));
    }
}
