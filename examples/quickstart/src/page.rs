//! The page: four files that are in the binary.

use sse_state_tokio::{App, Route};

/// Adds the routes of the page.
pub(crate) fn routes(app: App) -> App {
    app.get("/", html())
        .get("/page.css", Route::fixed("text/css; charset=utf-8", CSS))
        .get(
            "/page.js",
            Route::fixed("text/javascript; charset=utf-8", JS),
        )
        .get("/icon.svg", Route::fixed("image/svg+xml", ICON))
}

/// The page itself: scripts and styles from here only, nothing from elsewhere, in nobody's frame.
fn html() -> Route {
    Route::fixed("text/html; charset=utf-8", HTML)
        .header("Content-Security-Policy", POLICY)
        .header("Referrer-Policy", "no-referrer")
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HTML: &str = include_str!("../page/page.html");
const CSS: &str = include_str!("../page/page.css");
const JS: &str = include_str!("../page/page.js");
const ICON: &str = include_str!("../page/icon.svg");
