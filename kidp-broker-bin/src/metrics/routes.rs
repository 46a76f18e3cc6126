//! What the API was asked, as labels: routes of this program and classes of answers, never paths.

/// The routes that there are.
pub(super) const ROUTES: [&str; 14] = [
    "/",
    "/health",
    "/openapi.json",
    "/readiness",
    "/v1/deprovision",
    "/v1/plan",
    "/v1/provision",
    "/v1/resources",
    "/v1/status",
    "/v2/catalog",
    "/v2/service_instances/{instance_id}",
    "/v2/service_instances/{instance_id}/last_operation",
    "/v2/service_instances/{instance_id}/service_bindings/{binding_id}",
    "/v2/service_instances/{instance_id}/service_bindings/{binding_id}/last_operation",
];

/// The route that a request matched; `none` for one that matched none.
pub(super) fn word(matched: Option<&str>) -> &'static str {
    let known = matched.and_then(|route| ROUTES.into_iter().find(|known| *known == route));
    known.unwrap_or("none")
}

/// The class of an answer's status.
pub(super) const fn class(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_of_the_document_has_a_word() {
        let document = crate::openapi::document();
        let mut documented: BTreeSet<_> = document["paths"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        // Not part of what it describes.
        documented.insert("/openapi.json");
        assert_eq!(documented, ROUTES.into_iter().collect());
        assert_eq!(word(Some("/v1/status")), "/v1/status");
        assert_eq!(word(Some("/v1/else")), "none");
    }

    #[test]
    fn a_status_is_told_by_its_class() {
        let classes = [200, 202, 302, 404, 429, 500, 504].map(class);
        assert_eq!(classes, ["2xx", "2xx", "3xx", "4xx", "4xx", "5xx", "5xx"]);
    }
}
