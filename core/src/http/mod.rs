//! What an SSE server says and hears in HTTP/1.1, without IO.
//!
//! A driver owns the sockets, this module owns the bytes: [`Head`] reads a request head that arrives
//! in any pieces, [`topic`] names what is asked for, [`OriginRules`] and [`Request::check_host`] decide
//! who may ask, [`Answer`] renders everything that can be said back. Nothing here reads a clock, keeps a
//! socket or knows the state machine.
//!
//! The order of one request, as a driver sees it:
//!
//! ```
//! use sse_state::http::{
//!     Allow, Answer, Head, HeadLimits, OriginRules, Progress, QueryRule, Refusal,
//!     http_date,
//! };
//!
//! fn serve(piece: &[u8], unix_seconds: u64) -> Vec<u8> {
//!     let date = http_date(unix_seconds);
//!     let rules = OriginRules::same_origin();
//!     let mut head = Head::new(HeadLimits::default());
//!     match head.push(piece) {
//!         // A driver reads more here; this one has all there is.
//!         Progress::More => return Vec::new(),
//!         Progress::Done { .. } => {}
//!         Progress::Refused(why) => return Answer::refusal(&why).to_bytes(false, &date).to_vec(),
//!     }
//!     let Some(request) = head.into_request() else { return Vec::new() };
//!     let admitted = request
//!         .check_host(true, &[])
//!         .and_then(|()| Allow::Get.check(request.method()))
//!         .and_then(|()| rules.check(&request))
//!         .and_then(|()| request.topic(&QueryRule::all()));
//!     let answer = match admitted {
//!         Ok(_topic) => Answer::stream(),
//!         Err(why) => Answer::refusal(&why),
//!     };
//!     answer.cors(&rules, &request).to_bytes(request.is_head(), &date).to_vec()
//! }
//!
//! let answer = serve(b"GET /news HTTP/1.1\r\nHost: localhost\r\n\r\n", 784_111_777);
//! assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"));
//! let answer = serve(b"GET /news HTTP/1.1\r\nHost: rebound.example\r\n\r\n", 784_111_777);
//! assert!(answer.starts_with(b"HTTP/1.1 421 "));
//! ```

mod after;
mod answer;
mod date;
mod head;
mod host;
mod log;
mod method;
mod origin;
mod query;
mod refusal;
mod request;
mod target;

pub use after::{BodyBytes, Drain};
pub use answer::{Answer, AnswerError, Busy};
pub use date::{HttpDate, http_date};
pub use head::{Head, HeadLimits, Progress};
pub use host::loopback_host_allowed;
pub use log::{EscapedForLog, escape_for_log};
pub use method::{Allow, Method};
pub use origin::{OriginError, OriginRules};
pub use query::query_parameter;
pub use refusal::Refusal;
pub use request::{LastEventId, Request};
pub use target::{QueryRule, QueryRuleError, topic};
