//! What a small service does, on whatever runtime: a polled topic, news with a history, a page, an end.

use crate::Program;

/// Starts it and uses all of it.
pub fn check(path: &str) {
    let mut service = Program::start(path, &[]);
    its_page(&service);
    its_news(&service);
    its_load(&mut service);
    its_end(service);
}

fn its_page(service: &Program) {
    let page = service.get("/");
    assert_eq!(page.status, 200);
    assert!(
        page.head
            .contains("\r\nContent-Security-Policy: default-src 'none';")
    );
    assert!(
        page.body
            .contains("<script type=\"module\" src=\"/page.js\">")
    );
    assert!(
        service
            .get("/page.js")
            .body
            .contains("new EventSource(\"/load\")")
    );
    assert_eq!(service.get("/nothing").status, 404);
}

/// What is posted comes to who listens, to who comes later, and to who comes back.
fn its_news(service: &Program) {
    assert_eq!(service.post("/news", "one").body, "{\"subscribers\":0}");
    let mut listener = service.stream("/news");
    assert_eq!(listener.data(), "one");
    assert_eq!(service.post("/news", "two").status, 201);
    let two = listener.next_event().expect("an event");
    assert_eq!(two.data, "two");
    drop(listener);
    service.post("/news", "three");
    let seen = format!("Last-Event-ID: {}\r\n", two.id.expect("an id"));
    assert_eq!(service.stream_with("/news", &seen).data(), "three");
}

/// It is read while somebody listens; where there is no `/proc` an event says so.
fn its_load(service: &mut Program) {
    let mut listener = service.stream("/load");
    let load = listener.data();
    let is_number = load.parse::<f64>().is_ok();
    assert_eq!(is_number, cfg!(target_os = "linux"), "{load}");
    drop(listener);
    service.until("load: not read any more: NoSubscribers");
}

/// Streams end in order, and it exits with 0.
fn its_end(service: Program) {
    let mut streams = [service.stream("/load"), service.stream("/news")];
    for stream in &mut streams {
        stream.data();
    }
    service.terminate();
    for stream in streams {
        stream.rest();
    }
    let said = service.ended();
    assert!(said.contains("load: not read any more: Shutdown"), "{said}");
}
