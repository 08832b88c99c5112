//! Panics of engines, drivers and subjects under test: findings, and no noise on the terminal.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// What was done, or what it panicked with. What has panicked is not to be touched again.
pub(crate) fn unless_it_panics<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    quietly(act).map_err(|panic| message(&*panic))
}

/// What was done, or the panic, of which nothing is printed.
pub(crate) fn quietly<T>(act: impl FnOnce() -> T) -> std::thread::Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if QUIET.get() {
                let place = panic.location().map(ToString::to_string);
                PLACE.set(place.unwrap_or_default());
            } else {
                report(panic);
            }
        }));
    });
    let before = QUIET.replace(true);
    let done = panic::catch_unwind(AssertUnwindSafe(act));
    QUIET.set(before);
    done
}

/// What the panic that [`quietly`] has just given said, and where.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("{} ({})", text.unwrap_or("a panic"), PLACE.take())
}

thread_local! {
    /// Panics of this thread are somebody's finding.
    static QUIET: Cell<bool> = const { Cell::new(false) };
    /// Where the last of them was.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}
