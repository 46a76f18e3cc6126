//! Who may ask for costs: callers show a token of the management cluster that was made for [`AUDIENCE`], and their right is
//! one to the path, as for the API server's own `/metrics`. The API server judges both (`TokenReview`,
//! `SubjectAccessReview`); nothing is remembered, since reports are rare.

use std::time::Duration;

use axum::http::{HeaderMap, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kidp_core::problem::{Problem, Reason};
use kube::api::PostParams;
use kube::{Api, Client};

/// The audience that a token has to be for: one for the API server itself is not sent over this connection.
pub const AUDIENCE: &str = "kidp-costs";
/// Longest time that both questions take together.
const LIMIT: Duration = Duration::from_secs(5);
/// Longest token.
const MAX_TOKEN: usize = 16 * 1024;

/// Asks the API server about callers.
#[derive(Clone)]
pub struct Access {
    client: Client,
}

impl Access {
    /// Asks through `client`.
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// Whether the caller may use `verb`, a method in lower case, on `path`.
    pub async fn check(&self, headers: &HeaderMap, verb: &str, path: &str) -> Result<(), Problem> {
        let token = bearer(headers).ok_or_else(unauthorized)?;
        let asked = async {
            let user = self.owner(token).await?;
            self.authorize(user, verb, path).await
        };
        match tokio::time::timeout(LIMIT, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(unavailable()),
        }
    }

    async fn owner(&self, token: &str) -> Result<UserInfo, Problem> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.to_owned(),
                audiences: Some(vec![AUDIENCE.to_owned()]),
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await;
        // The error is dropped: it may quote the request, which holds the token.
        let status = answer.map_err(|_| unavailable())?.status.unwrap_or_default();
        let for_us = status
            .audiences
            .iter()
            .flatten()
            .any(|audience| audience == AUDIENCE);
        match status.user {
            Some(user) if status.authenticated == Some(true) && for_us => Ok(user),
            _ => Err(unauthorized()),
        }
    }

    async fn authorize(&self, user: UserInfo, verb: &str, path: &str) -> Result<(), Problem> {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                non_resource_attributes: Some(NonResourceAttributes {
                    path: Some(path.to_owned()),
                    verb: Some(verb.to_owned()),
                }),
                user: user.username,
                uid: user.uid,
                groups: user.groups,
                extra: user.extra,
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await;
        let allowed = answer
            .map_err(|_| unavailable())?
            .status
            .is_some_and(|status| status.allowed && status.denied != Some(true));
        if allowed {
            return Ok(());
        }
        let message =
            format!("needs the right to `{verb}` the non-resource URL `{path}` in the management cluster");
        Err(Problem::new(Reason::Forbidden, message))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    let plausible = !token.is_empty() && token.len() <= MAX_TOKEN;
    (scheme.eq_ignore_ascii_case("bearer") && plausible).then_some(token)
}

fn unauthorized() -> Problem {
    let message = format!("show a token of the management cluster for the audience `{AUDIENCE}`");
    Problem::new(Reason::Unauthorized, message)
}

fn unavailable() -> Problem {
    Problem::new(
        Reason::Unavailable,
        "the cluster cannot be asked about the caller; try again",
    )
}
