//! Parameters of a query: percent and `+` decoding (WHATWG URL §5.1).

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use super::Refusal;

/// The value of the one parameter `name` of a query, decoded (`%XX`, `+` is a space) to UTF-8.
///
/// `query` is what stands after the `?`. `Ok(None)` if the parameter is absent; a parameter without `=` has
/// the empty value. It may decode to anything, `%0A` to a line break: whoever uses it validates it.
///
/// # Errors
/// [`Refusal::QueryParameter`] if it stands there twice or does not decode to UTF-8.
///
/// ```
/// use sse_state::http::query_parameter;
///
/// assert_eq!(query_parameter("x=1&event=door+%C3%A4", "event"), Ok(Some("door ä".into())));
/// assert_eq!(query_parameter("x=1", "event"), Ok(None));
/// ```
pub fn query_parameter(query: &str, name: &str) -> Result<Option<String>, Refusal> {
    let mut values = parameters(query).filter(|parameter| parameter.is_named(name));
    let Some(parameter) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Refusal::QueryParameter);
    }
    String::from_utf8(parameter.value().into_owned())
        .map(Some)
        .map_err(|_| Refusal::QueryParameter)
}

/// The pieces of a query between its `&`, in order, empty ones included.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = Parameter<'_>> {
    query.split('&').map(|sent| Parameter { sent })
}

/// One `name=value` of a query, as sent.
#[derive(Clone, Copy)]
pub(super) struct Parameter<'a> {
    pub(super) sent: &'a str,
}

impl<'a> Parameter<'a> {
    /// Whether its decoded name is `name`.
    pub(super) fn is_named(&self, name: &str) -> bool {
        *form_decode(self.sent_name()) == *name.as_bytes()
    }

    pub(super) fn sent_name(&self) -> &'a str {
        self.sent
            .split_once('=')
            .map_or(self.sent, |(name, _)| name)
    }

    pub(super) fn value(&self) -> Cow<'a, [u8]> {
        form_decode(self.sent.split_once('=').map_or("", |(_, value)| value))
    }
}

/// What is no triplet stays as it is, as in every browser; in a target it was refused before.
fn form_decode(sent: &str) -> Cow<'_, [u8]> {
    if !sent.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(sent.as_bytes());
    }
    let mut decoded = Vec::with_capacity(sent.len());
    let mut rest = sent.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, triplet(after)) {
            (b'%', Some((value, after))) => {
                decoded.push(value);
                rest = after;
            }
            (b'+', _) => decoded.push(b' '),
            _ => decoded.push(byte),
        }
    }
    Cow::Owned(decoded)
}

/// The byte that the two digits after a `%` stand for, and what follows them.
pub(super) fn triplet(after_percent: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, rest) = after_percent.split_first_chunk::<2>()?;
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    Some(((high? * 16 + low?) as u8, rest))
}
