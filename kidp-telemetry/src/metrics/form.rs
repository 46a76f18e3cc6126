//! The two forms of a scrape, and which of them is asked for: `OpenMetrics` by whoever names it, Prometheus' own text by all
//! others, so that a person with a browser and old tools read what they always did.

use std::fmt;

use axum::http::{HeaderMap, header};
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;

/// How a scrape is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Prometheus' text format, version 0.0.4. It has no exemplars.
    Prometheus,
    /// `OpenMetrics`, version 1.0.0.
    OpenMetrics,
}

impl Form {
    /// The form that a request asks for: of the two that it names the preferred one, `OpenMetrics` where it prefers neither.
    pub fn asked_for(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(header::ACCEPT).iter();
        let accepted = accepted.filter_map(|value| value.to_str().ok());
        let (mut open, mut plain) = (0.0, 0.0);
        for range in accepted.flat_map(|value| value.split(',')) {
            let (name, weight) = weighed(range);
            let known = match name.as_str() {
                "application/openmetrics-text" => &mut open,
                "text/plain" => &mut plain,
                _ => continue,
            };
            *known = weight.max(*known);
        }
        if open > 0.0 && open >= plain {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// The `Content-Type` of an answer in it.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    pub(super) fn text(self, registry: &Registry) -> Result<String, fmt::Error> {
        let mut written = String::new();
        match self {
            Self::Prometheus => prometheus_text::encode(&mut written, registry)?,
            Self::OpenMetrics => text::encode(&mut written, registry)?,
        }
        Ok(written)
    }
}

/// The media type of a range, and its weight: 1 where it has none, 0 where that is no number.
fn weighed(range: &str) -> (String, f64) {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let weight = weight.map_or(1.0, |text| text.parse().unwrap_or(0.0));
    (name, weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_for(accept: &[&'static str]) -> Form {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(header::ACCEPT, header::HeaderValue::from_static(value));
        }
        Form::asked_for(&headers)
    }

    #[test]
    fn openmetrics_is_for_who_names_it_and_prefers_nothing_else() {
        // What Prometheus 3 sends.
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in [
            &[prometheus][..],
            &["application/openmetrics-text"],
            &["Application/OpenMetrics-Text; version=1.0.0, */*"],
            &["text/plain", "application/openmetrics-text"],
        ] {
            assert_eq!(asked_for(accept), Form::OpenMetrics, "{accept:?}");
        }
        for accept in [
            &[][..],
            &["*/*"],
            &["text/plain;version=0.0.4"],
            &["application/openmetrics-text;q=0, text/plain"],
            &["application/openmetrics-text;q=0.3, text/plain;q=0.5"],
            &["application/openmetrics-text;q=much"],
        ] {
            assert_eq!(asked_for(accept), Form::Prometheus, "{accept:?}");
        }
    }
}
