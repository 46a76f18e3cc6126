//! `traceparent` in HTTP headers.

use http::HeaderMap;
use kidp_core::trace::{HEADER, TraceParent};

/// Where the sender of these headers is in a trace. What is no `traceparent`, or is there twice, counts as absent: W3C
/// Trace Context forbids to refuse a request for it.
pub fn received(headers: &HeaderMap) -> Option<TraceParent> {
    let mut values = headers.get_all(HEADER).iter();
    let (value, more) = (values.next()?, values.next());
    if more.is_some() {
        return None;
    }
    value.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn of(values: &[&[u8]]) -> Option<TraceParent> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, http::HeaderValue::from_bytes(value).unwrap());
        }
        received(&headers)
    }

    #[test]
    fn one_sound_header_is_taken_and_everything_else_is_none() {
        assert_eq!(of(&[GOOD.as_bytes()]), GOOD.parse().ok());
        assert!(of(&[GOOD.as_bytes()]).is_some());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[GOOD.as_bytes(), GOOD.as_bytes()]), None);
        assert_eq!(of(&[b"00-xyz"]), None);
        assert_eq!(of(&[b"\xff\xfe"]), None);
    }
}
