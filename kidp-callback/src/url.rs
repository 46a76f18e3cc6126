//! Which URLs a broker sends callbacks to.
//!
//! A callback URL comes with a request. Without a limit a caller could make the broker post to any address it
//! can reach, the cluster's own API and a cloud's metadata service among them. So the broker is started with
//! the URLs of its operators, and refuses every other one before it accepts the request.

use kidp_core::problem::FieldError;
use thiserror::Error;
use url::Url;

/// The field that refusals name.
pub const FIELD: &str = "callbackUrl";

const MAX_URL: usize = 2048;

/// An entry of the allow list is not usable. Fix the broker's flag.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("allowed callback URL `{entry}` {message}")]
pub struct PolicyError {
    /// The entry.
    pub entry: String,
    /// What is wrong with it.
    pub message: String,
}

/// An allow list: an origin (`http://operator:9090`) allows every path on it, an URL with a path allows that
/// path and those below it.
#[derive(Clone, Debug, Default)]
pub struct UrlPolicy {
    allowed: Vec<Url>,
}

impl UrlPolicy {
    /// A policy that allows `entries`, and nothing if there are none.
    pub fn new<S: AsRef<str>>(entries: &[S]) -> Result<Self, PolicyError> {
        let parse = |entry: &S| {
            well_formed(entry.as_ref()).map_err(|message| PolicyError {
                entry: entry.as_ref().to_owned(),
                message,
            })
        };
        let allowed = entries.iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { allowed })
    }

    /// `url`, if it may be sent to.
    ///
    /// ```
    /// use kidp_callback::UrlPolicy;
    /// let policy = UrlPolicy::new(&["http://operator:9090/v1/callback"]).unwrap();
    /// assert!(policy.check("http://operator:9090/v1/callback").is_ok());
    /// assert_eq!(policy.check("http://169.254.169.254/").unwrap_err().field, "callbackUrl");
    /// ```
    pub fn check(&self, url: &str) -> Result<Url, FieldError> {
        let url = well_formed(url).map_err(|message| FieldError::new(FIELD, message))?;
        if self.allowed.iter().any(|entry| covers(entry, &url)) {
            return Ok(url);
        }
        Err(FieldError::new(
            FIELD,
            "is not among the callback URLs that this broker is configured to send to",
        ))
    }
}

fn well_formed(text: &str) -> Result<Url, String> {
    if text.len() > MAX_URL {
        return Err(format!("must be at most {MAX_URL} characters"));
    }
    let url = Url::parse(text).map_err(|error| format!("must be a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must be an http or https URL".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or password".to_owned());
    }
    if url.fragment().is_some() {
        return Err("must not have a fragment".to_owned());
    }
    Ok(url)
}

fn covers(entry: &Url, url: &Url) -> bool {
    let prefix = entry.path().trim_end_matches('/');
    let below = url.path().strip_prefix(prefix);
    entry.origin() == url.origin() && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy() -> UrlPolicy {
        UrlPolicy::new(&["http://operator:9090/v1/callback", "https://hooks.example.org"]).unwrap()
    }

    #[test]
    fn only_listed_urls_pass() {
        for good in [
            "http://operator:9090/v1/callback",
            "http://operator:9090/v1/callback/eu",
            "https://hooks.example.org/any?x=1",
            "https://hooks.example.org:443/",
        ] {
            assert!(policy().check(good).is_ok(), "{good}");
        }
        for bad in [
            "http://operator:9090/v1/callbacks",
            "http://operator:9090/v1/callback/../../admin",
            "http://operator:9090/v1/callback/%2e%2e/%2e%2e/admin",
            "http://operator:9091/v1/callback",
            "https://operator:9090/v1/callback",
            "http://operator.evil.example:9090/v1/callback",
            "http://operator:9090@evil.example/v1/callback",
            "http://user:pw@operator:9090/v1/callback",
            "http://operator:9090/v1/callback#f",
            "http://169.254.169.254/latest/meta-data",
            "file:///etc/passwd",
            "gopher://operator:9090/v1/callback",
            "operator:9090",
            "",
        ] {
            assert_eq!(policy().check(bad).unwrap_err().field, FIELD, "{bad}");
        }
    }

    #[test]
    fn an_empty_list_allows_nothing_and_a_bad_entry_is_named() {
        assert!(UrlPolicy::default().check("http://operator:9090/").is_err());
        let error = UrlPolicy::new(&["ftp://x"]).unwrap_err();
        assert_eq!(error.entry, "ftp://x");
    }

    proptest! {
        #[test]
        fn what_passes_goes_to_a_listed_host(text in "(http|https|file)://[a-z0-9@:./%#-]{0,60}") {
            if let Ok(url) = policy().check(&text) {
                prop_assert!(matches!(url.host_str(), Some("operator" | "hooks.example.org")));
            }
        }
    }
}
