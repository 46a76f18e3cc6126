//! Token reviews against an API server that a closure plays.

use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::authentication::v1::UserInfo;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

const NAME: &str = "system:serviceaccount:kidp-system:kidp-operator";
/// Of the form of a token, with an `exp` in the year 2200.
const TOKEN: &str = "e30.eyJleHAiOjcyNTgxMTg0MDB9.c2ln";

fn status(change: impl FnOnce(&mut TokenReviewStatus)) -> TokenReviewStatus {
    let mut status = TokenReviewStatus {
        authenticated: Some(true),
        audiences: Some(vec!["kidp".to_owned()]),
        user: Some(UserInfo {
            username: Some(NAME.to_owned()),
            ..UserInfo::default()
        }),
        error: None,
    };
    change(&mut status);
    status
}

#[test]
fn only_an_authentic_service_account_of_the_audience_is_good() {
    let good = Verdict::Good {
        name: NAME.into(),
        keep: KEEP_GOOD,
    };
    assert_eq!(judge("kidp", &status(|_| ()), None), good);
    let both = status(|s| s.audiences = Some(vec!["x".into(), "kidp".into()]));
    assert_eq!(judge("kidp", &both, None), good);
    for bad in [
        status(|s| s.authenticated = Some(false)),
        status(|s| s.authenticated = None),
        status(|s| s.audiences = None),
        status(|s| s.audiences = Some(vec!["https://kubernetes.default.svc".into()])),
        status(|s| s.user = None),
        status(|s| s.user.as_mut().unwrap().username = Some("admin".into())),
    ] {
        assert_eq!(judge("kidp", &bad, None), Verdict::Bad, "{bad:?}");
    }
}

#[test]
fn a_verdict_is_kept_for_a_minute_and_never_past_the_tokens_end() {
    let now = Timestamp::from_second(7_258_118_400 - 20).unwrap();
    assert_eq!(lifetime(TOKEN, now), Some(Duration::from_secs(20)));
    let later = Timestamp::from_second(7_258_118_400 + 20).unwrap();
    assert_eq!(lifetime(TOKEN, later), Some(Duration::ZERO));
    assert_eq!(lifetime("opaque", now), None);
    for (left, keep) in [(Some(20), 20), (Some(3600), 60), (None, 60)] {
        let verdict = judge("kidp", &status(|_| ()), left.map(Duration::from_secs));
        assert!(matches!(verdict, Verdict::Good { keep: kept, .. } if kept.as_secs() == keep));
    }
}

/// A reviewer in front of an API server that answers after `delay`, and how often it was asked.
fn reviewer(
    delay: Duration,
    answer: impl Fn(&str, &[String]) -> (u16, Value) + Clone + Send + Sync + 'static,
) -> (TokenReviewer, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let service = tower::service_fn(move |request: axum::http::Request<Body>| {
        let (answer, count) = (answer.clone(), count.clone());
        async move {
            assert_eq!(
                request.uri().path(),
                "/apis/authentication.k8s.io/v1/tokenreviews"
            );
            let body = request.into_body().collect_bytes().await.unwrap();
            let review: TokenReview = serde_json::from_slice(&body).unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(delay).await;
            let (code, status) = answer(&review.spec.token, &review.spec.audiences.unwrap());
            let body = if code < 300 {
                json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {},
                    "spec": {"token": ""}, "status": status})
            } else {
                crate::testing::failure(code, "Refused", "").1
            };
            let response = axum::http::Response::builder().status(code);
            Ok::<_, std::convert::Infallible>(
                response.body(Body::from(body.to_string().into_bytes())).unwrap(),
            )
        }
    });
    (TokenReviewer::new(Client::new(service, "default"), "kidp"), asked)
}

fn well(token: &str, audiences: &[String]) -> (u16, Value) {
    assert_eq!(audiences, ["kidp"]);
    let authenticated = token == TOKEN;
    let change = |s: &mut TokenReviewStatus| s.authenticated = Some(authenticated);
    (201, serde_json::to_value(status(change)).unwrap())
}

#[tokio::test]
async fn a_token_is_asked_about_once() {
    let (reviewer, asked) = reviewer(Duration::from_millis(20), well);
    let answers = futures::future::join_all((0..20).map(|_| reviewer.owner(TOKEN))).await;
    assert!(answers.iter().all(|a| a.as_deref() == Ok(NAME)), "{answers:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "at the same time");
    for _ in 0..3 {
        assert_eq!(reviewer.owner("e30.e30.x").await.unwrap_err().code, 401);
        assert_eq!(reviewer.owner(TOKEN).await.as_deref(), Ok(NAME));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2, "and later, a bad one too");
}

#[tokio::test]
async fn a_cluster_that_cannot_be_asked_closes_the_door_and_is_asked_again() {
    let (reviewer, asked) = reviewer(Duration::ZERO, |_, _| (403, Value::Null));
    for n in 1..=2 {
        let problem = reviewer.owner(TOKEN).await.unwrap_err();
        assert!(problem.code == 503 && problem.error.is_retryable(), "{problem}");
        assert!(!problem.message.contains(TOKEN));
        assert_eq!(asked.load(Ordering::SeqCst), n, "nothing is kept of it");
    }
}

#[tokio::test]
async fn a_cluster_that_hangs_is_not_waited_for() {
    let (reviewer, _) = reviewer(Duration::from_mins(1), well);
    let reviewer = reviewer.with_limit(Duration::from_millis(50));
    let problem = reviewer.owner(TOKEN).await.unwrap_err();
    assert_eq!(problem.code, 503);
}

#[tokio::test]
async fn only_so_many_are_asked_about_at_once() {
    let (reviewer, asked) = reviewer(Duration::from_millis(300), well);
    let tokens: Vec<_> = (0..3 * AT_ONCE).map(|n| format!("e30.e30.{n}")).collect();
    let all = futures::future::join_all(tokens.iter().map(|token| reviewer.owner(token)));
    let early = tokio::time::timeout(Duration::from_millis(150), all).await;
    assert!(early.is_err());
    assert_eq!(asked.load(Ordering::SeqCst), AT_ONCE);
}
