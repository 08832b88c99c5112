//! Subjects that each break something, to show that each rule is broken by something.

use sse_state::http::{AnswerError, HeadLimits, QueryRule, Refusal, Request, topic};
use sse_state::{EventError, EventId};

use super::subject::{
    Admitted, Door, Ours, Parsed, Parts, Payload, ReadsHead, Said, Seen, Subject, What,
};

mod encoders;
mod readers;

/// `sse_state` with one fault.
#[derive(Clone, Copy, Debug)]
pub struct Faulty(pub Fault);

/// Makes the faults and the list of them all.
macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What is wrong with it.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        /// All of them.
        pub const FAULTS: &[Fault] = &[$(Fault::$name),*];
    };
}

faults! {
    /// Writes `data:` without its space.
    DropsTheSpace,
    /// Takes LF alone for a line break in data.
    SplitsAtLfOnly,
    /// Takes CRLF for two line breaks.
    SplitsCrlfTwice,
    /// Forgets a line break at the end of data, as `str::lines` does.
    LosesTheLastBreak,
    /// Takes the spaces around data away.
    TrimsData,
    /// Writes no line for empty data.
    SkipsEmptyData,
    /// Ends its lines with CRLF.
    WritesCrlf,
    /// Forgets the empty line after an event.
    ForgetsTheEmptyLine,
    /// Ends an event with two empty lines.
    WritesTwoEmptyLines,
    /// Begins each frame with a byte order mark.
    BeginsWithBom,
    /// Writes the id first.
    WritesTheIdFirst,
    /// Strips what a name or an id cannot hold.
    StripsBreaks,
    /// Takes names that are the library's own.
    TakesReservedNames,
    /// Refuses NUL in data.
    RefusesNul,
    /// Writes a reconnection time in seconds.
    RetriesInSeconds,
    /// Takes the longest reconnection time for a longer one.
    ClampsRetry,
    /// Cuts an id that is too long.
    CutsIds,
    /// Bounds an id in characters.
    CountsCharacters,
    /// Writes ids in upper case.
    ShoutsIds,
    /// Pads ids with zeros.
    PadsIds,
    /// A parser that keeps the byte order mark.
    ParsesTheBom,
    /// A parser that keeps an id until the next one, even if it was reset.
    ParsesNoReset,
    /// A parser that makes an event of what was cut off.
    ParsesWhatWasCut,
    /// A parser that reads each piece as lines of its own.
    ParsesPieceByPiece,
    /// Refuses a piece that begins with LF.
    JudgesByPiece,
    /// Reads one byte past the head.
    ReadsOneMore,
    /// Begins anew after a complete head.
    ForgetsItsEnd,
    /// Begins anew after a refusal.
    ForgivesARefusal,
    /// Keeps everything that it has seen.
    KeepsEverything,
    /// Lets one byte more through than the bound.
    TakesOneByteMore,
    /// Lets one field more through than the bound.
    TakesOneFieldMore,
    /// Takes the last of two requests that came together.
    TakesTheLastRequest,
    /// Takes a lone LF for a line end.
    TakesLoneLf,
    /// Skips empty lines before a request.
    SkipsEmptyLines,
    /// Takes control bytes.
    TakesControlBytes,
    /// Takes several spaces in the request line for one.
    CollapsesSpaces,
    /// Joins folded lines.
    Unfolds,
    /// Takes a space before the colon away.
    TrimsNames,
    /// Takes the first of two lengths.
    TakesTheFirstLength,
    /// Lets a transfer coding win over a length.
    PrefersTheCoding,
    /// Ignores the body of a GET.
    IgnoresBodies,
    /// Ignores `Expect`.
    IgnoresExpect,
    /// Takes methods in any case.
    ShoutsMethods,
    /// Takes any version.
    TakesAnyVersion,
    /// Takes the first of two hosts.
    TakesTheFirstHost,
    /// Takes `*` for `/`.
    TakesTheAsterisk,
    /// Takes dot segments out.
    ResolvesDots,
    /// Takes `%2F` for a slash.
    DecodesSlashes,
    /// Takes `Last-Event-ID` for text.
    ReadsIdsAsText,
    /// Lets the parameter win over the header.
    PrefersTheParameter,
    /// Takes the first of two ids, and cuts it.
    TakesTheFirstId,
    /// Lets `Host` win over the authority of the target.
    PrefersHost,
    /// Shows the target as sent to the hook.
    ShowsTheTarget,
    /// Hands over no `Last-Event-ID` from a framework.
    MountsWithoutId,
    /// Decodes a path twice.
    DecodesTwice,
    /// Takes `event` out of every topic.
    DropsEvents,
    /// Keeps parameters in the order of the request.
    KeepsTheOrder,
    /// Takes the first of two parameters.
    TakesTheFirstParameter,
    /// Opens a stream for HEAD.
    OpensForHead,
    /// Refuses what does not accept event streams.
    HonoursAccept,
    /// Serves every method.
    ServesEveryMethod,
    /// Looks at how a host ends.
    LooksAtTheEnd,
    /// Lets every origin pass.
    IgnoresOrigin,
    /// Asks for an origin always.
    WantsAnOrigin,
    /// Leaves `Cache-Control` out.
    LetsCache,
    /// Writes a second length.
    WritesTwoLengths,
    /// Answers a stream in chunks.
    WritesChunks,
    /// Answers HEAD with the body of GET.
    AnswersHeadWithBody,
    /// Says which path was not served.
    EchoesTheTarget,
    /// Sends the origin back that asked.
    EchoesTheOrigin,
    /// Lets line breaks into fields.
    LetsBreaksIn,
    /// Strips what a field cannot hold.
    StripsFields,
    /// Logs bytes as they are.
    LogsAsIs,
    /// Logs all bytes.
    LogsEverything,
    /// Refuses everything with 400.
    Says400,
    /// Forgets `Retry-After`.
    ForgetsRetryAfter,
    /// Takes every byte for UTF-8.
    TrustsBytes,
}

use Fault as F;

impl Subject for Faulty {
    fn encode(&self, event: &Payload) -> Result<Vec<u8>, EventError> {
        encoders::encode(self.0, event)
    }

    fn id(&self, epoch: u64, seq: u64) -> String {
        let id = Ours.id(epoch, seq);
        match self.0 {
            F::ShoutsIds => id.to_uppercase(),
            F::PadsIds => {
                let seq = EventId::parse(id.as_bytes()).map_or(0, |id| id.seq);
                format!("{}-{seq:020}", id.split('-').next().unwrap_or_default())
            }
            _ => id,
        }
    }

    fn parse(&self, pieces: &[&[u8]]) -> Parsed {
        match self.0 {
            F::ParsesTheBom => {
                // An empty line first, so that the mark is not the first byte.
                let mut parsed = Ours.parse(&[&[b":\n\n".as_slice()], pieces].concat());
                parsed.blocks.remove(0);
                parsed
            }
            F::ParsesNoReset => {
                let mut parsed = Ours.parse(pieces);
                let mut ids = parsed.blocks.iter().filter_map(|block| block.id.as_ref());
                parsed.last_id = ids.rfind(|id| !id.is_empty()).cloned();
                parsed
            }
            F::ParsesWhatWasCut => Ours.parse(&[pieces, &[b"\n\n"]].concat()),
            F::ParsesPieceByPiece => {
                let mut all = Parsed::default();
                for piece in pieces {
                    let parsed = Ours.parse(&[piece]);
                    all.blocks.extend(parsed.blocks);
                    all.last_id = parsed.last_id.or(all.last_id);
                }
                all
            }
            _ => Ours.parse(pieces),
        }
    }

    fn head(&self, limits: HeadLimits) -> Box<dyn ReadsHead> {
        readers::head(self.0, limits)
    }

    fn see(&self, request: &Request) -> Seen {
        let mut seen = Ours.see(request);
        let value = |name: &str| request.field(name).next().map(<[u8]>::to_vec);
        match self.0 {
            F::ReadsIdsAsText => {
                let text = |id: Vec<u8>| String::from_utf8_lossy(&id).into_owned().into_bytes();
                seen.resume = seen.resume.map(text);
            }
            F::PrefersTheParameter => {
                let query = request.query().unwrap_or_default();
                if let Ok(Some(id)) = Ours.parameter(query, "lastEventId") {
                    seen.resume = Some(id.into_bytes());
                }
            }
            F::TakesTheFirstId => {
                let first = value("last-event-id").filter(|id| !id.is_empty());
                seen.resume = first
                    .map(|id| id[..id.len().min(128)].to_vec())
                    .or(seen.resume);
            }
            F::PrefersHost => {
                seen.host = value("host").and_then(|host| String::from_utf8(host).ok());
            }
            _ => {}
        }
        seen
    }

    fn mounted(&self, parts: &Parts) -> Result<Request, Refusal> {
        let mut parts = parts.clone();
        if self.0 == F::MountsWithoutId {
            parts
                .fields
                .retain(|(name, _)| !name.eq_ignore_ascii_case("last-event-id"));
        }
        Ours.mounted(&parts)
    }

    fn topic(&self, target: &str, rule: &QueryRule) -> Result<String, Refusal> {
        match self.0 {
            F::DecodesTwice => {
                let once = topic(target, rule)?;
                let (path, query) = once.split_once('?').unwrap_or((&once, ""));
                let twice = topic(&path.replace(' ', "%20"), rule).unwrap_or(path.into());
                let mark = if query.is_empty() { "" } else { "?" };
                Ok(format!("{twice}{mark}{query}"))
            }
            F::DropsEvents => topic(target, &rule.clone().for_publish()),
            F::KeepsTheOrder if *rule != QueryRule::all() => topic(target, &QueryRule::all()),
            F::ResolvesDots => topic(&target.replace("/..", "").replace("/.", ""), rule),
            F::TrustsBytes => topic(&target[..target.len().min(1)], rule).and(topic(target, rule)),
            _ => topic(target, rule),
        }
    }

    fn topic_of(&self, request: &Request, rule: &QueryRule) -> Result<String, Refusal> {
        match self.0 {
            F::ShowsTheTarget => Ok(request.target().into()),
            _ => Ours.topic_of(request, rule),
        }
    }

    fn parameter(&self, query: &str, name: &str) -> Result<Option<String>, Refusal> {
        match (self.0, Ours.parameter(query, name)) {
            (F::TakesTheFirstParameter, Err(Refusal::QueryParameter)) => {
                let first = query.split('&').next().unwrap_or_default();
                Ours.parameter(first, name)
            }
            (_, said) => said,
        }
    }

    fn admit(&self, door: &Door, request: &Request) -> Result<Admitted, Refusal> {
        let admitted = Ours.admit(door, request);
        let served = || Ok(Admitted::Stream(request.path().into()));
        match (self.0, admitted) {
            (F::OpensForHead, Ok(Admitted::Fields)) => served(),
            (F::HonoursAccept, Ok(_))
                if request.field("accept").next().is_some() && !request.accepts_event_stream() =>
            {
                Err(Refusal::NoRoute)
            }
            (F::ServesEveryMethod, Err(Refusal::MethodNotAllowed(_))) => served(),
            (F::LooksAtTheEnd, Err(Refusal::HostNotAllowed))
                if request
                    .host()
                    .is_some_and(|host| host.ends_with("localhost")) =>
            {
                served()
            }
            (F::IgnoresOrigin, Err(Refusal::CrossSite)) => served(),
            (F::WantsAnOrigin, Ok(_)) if request.field("origin").next().is_none() => {
                Err(Refusal::CrossSite)
            }
            (_, admitted) => admitted,
        }
    }

    fn answer(&self, said: &Said, to_head: bool) -> Result<Vec<u8>, AnswerError> {
        let mut said = said.clone();
        match self.0 {
            F::StripsFields => {
                for (_, value) in &mut said.fields {
                    value.retain(|c| matches!(c, ' '..='~'));
                    *value = value.trim().into();
                }
            }
            F::Says400 if matches!(said.what, What::Refusal(_)) => {
                said.what = What::Refusal(Refusal::FieldLine);
            }
            _ => {}
        }
        let let_in = match (self.0, said.fields.last()) {
            (F::LetsBreaksIn, Some((name, value))) if value.contains(['\r', '\n']) => {
                Some(format!("{name}: {value}"))
            }
            _ => None,
        };
        if let_in.is_some() {
            said.fields.pop();
        }
        let to_head = to_head && self.0 != F::AnswersHeadWithBody;
        let bytes = Ours.answer(&said, to_head)?;
        Ok(match self.0 {
            F::LetsBreaksIn => add_line(bytes, let_in.as_deref()),
            F::LetsCache => without_line(bytes, "Cache-Control"),
            F::WritesTwoLengths => add_line(bytes, Some("Content-Length: 0")),
            F::ForgetsRetryAfter => without_line(bytes, "Retry-After"),
            F::WritesChunks if matches!(said.what, What::Stream) => {
                add_line(bytes, Some("Transfer-Encoding: chunked"))
            }
            _ => bytes,
        })
    }

    fn reply(
        &self,
        door: &Door,
        request: Option<&Request>,
        admitted: &Result<Admitted, Refusal>,
    ) -> Vec<u8> {
        let bytes = Ours.reply(door, request, admitted);
        let Some(request) = request else {
            return bytes;
        };
        let origin = request.field("origin").next();
        match (self.0, origin) {
            (F::EchoesTheTarget, _) => {
                add_line(bytes, Some(&format!("X-Path: {}", request.target())))
            }
            (F::EchoesTheOrigin, Some(origin)) => {
                let origin = String::from_utf8_lossy(origin);
                add_line(
                    bytes,
                    Some(&format!("Access-Control-Allow-Origin: {origin}")),
                )
            }
            _ => bytes,
        }
    }

    fn escape(&self, bytes: &[u8]) -> String {
        match self.0 {
            F::LogsAsIs => String::from_utf8_lossy(&bytes[..bytes.len().min(64)]).into(),
            F::LogsEverything => bytes.escape_ascii().to_string(),
            _ => Ours.escape(bytes),
        }
    }
}

/// One more line in a head.
fn add_line(bytes: Vec<u8>, line: Option<&str>) -> Vec<u8> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    match (end, line) {
        (Some(end), Some(line)) => {
            [&bytes[..end], b"\r\n", line.as_bytes(), &bytes[end..]].concat()
        }
        _ => bytes,
    }
}

/// Without a line of a head.
fn without_line(bytes: Vec<u8>, name: &str) -> Vec<u8> {
    let start = format!("\r\n{name}: ");
    let at = bytes
        .windows(start.len())
        .position(|part| part == start.as_bytes());
    let end = at.and_then(|at| {
        let rest = &bytes[at + 2..];
        Some(at + 2 + rest.windows(2).position(|two| two == b"\r\n")?)
    });
    match (at, end) {
        (Some(at), Some(end)) => [&bytes[..at], &bytes[end..]].concat(),
        _ => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RULES, broken_rules};
    use super::*;

    /// The matrix: what each fault breaks. None is missed, and no rule is there for nothing.
    #[test]
    fn every_fault_is_found_and_every_rule_finds_one() {
        let mut useful = std::collections::BTreeSet::new();
        let mut missed = Vec::new();
        for fault in FAULTS {
            let broken = broken_rules(&Faulty(*fault), 1, CASES);
            let ids: Vec<&str> = broken.keys().copied().collect();
            println!("{:24} {}", format!("{fault:?}"), ids.join(" "));
            useful.extend(ids);
            if broken.is_empty() {
                missed.push(fault);
            }
        }
        let idle: Vec<&str> = RULES
            .iter()
            .map(|rule| rule.id)
            .filter(|id| !useful.contains(id))
            .collect();
        assert!(missed.is_empty(), "nobody sees {missed:?}");
        assert!(idle.is_empty(), "nothing breaks {idle:?}");
    }

    #[test]
    fn ours_breaks_nothing() {
        let broken = broken_rules(&Ours, 2, 10 * CASES);
        assert!(broken.is_empty(), "{broken:#?}");
    }

    const CASES: u64 = 64;
}
