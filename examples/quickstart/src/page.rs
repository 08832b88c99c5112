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

#[cfg(test)]
mod tests {
    use super::*;

    /// W§9: the policy allows nothing inline and nothing from elsewhere, and the page needs neither.
    #[test]
    fn w9_nothing_inline_and_nothing_from_elsewhere() {
        assert!(POLICY.starts_with("default-src 'none'") && !POLICY.contains("unsafe"));
        for sort in ["<style", "style=", " onclick", " onload", "javascript:"] {
            assert!(!HTML.contains(sort), "{sort}");
        }
        assert_eq!(
            HTML.matches("<script").count(),
            HTML.matches("<script type=\"module\" src=").count()
        );
        for text in [HTML, CSS, JS, ICON] {
            let foreign = text.replace("http://www.w3.org/2000/svg", ""); // a name, which nobody fetches
            for sort in ["http:", "https:", "\"//", "@import", "url("] {
                assert!(!foreign.contains(sort), "{sort}");
            }
        }
    }

    /// W§9: what others have written never becomes markup.
    #[test]
    fn w9_text_of_others_is_only_text() {
        for way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "srcdoc",
            "eval(",
            "DOMParser",
            "setHTML",
        ] {
            assert!(!JS.contains(way), "{way}");
        }
    }
}
