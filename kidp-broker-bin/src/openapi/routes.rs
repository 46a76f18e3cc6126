//! The table of routes: what each takes, and every status that it can give with its body.

use utoipa::openapi::path::HttpMethod;

/// A route and method.
pub(super) struct Route {
    pub method: HttpMethod,
    pub path: &'static str,
    pub id: &'static str,
    pub tag: &'static str,
    pub summary: &'static str,
    pub inputs: Vec<Input>,
    /// Schema of the body.
    pub body: Option<&'static str>,
    pub answers: Vec<Answer>,
    /// Whether a key is needed where the broker has keys.
    pub guarded: bool,
}

/// Where an input is.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Path,
    Query,
    Header,
}

/// A part of path, query or headers; always a text.
pub(super) struct Input {
    pub name: &'static str,
    pub place: Place,
    pub required: bool,
    pub description: &'static str,
    pub pattern: Option<&'static str>,
    pub words: &'static [&'static str],
}

/// A status and the schema of its body.
#[derive(Clone, Copy)]
pub(super) struct Answer {
    pub status: u16,
    pub description: &'static str,
    pub body: &'static str,
}

const fn answer(status: u16, body: &'static str, description: &'static str) -> Answer {
    Answer {
        status,
        description,
        body,
    }
}

const fn input(place: Place, name: &'static str, required: bool, description: &'static str) -> Input {
    Input {
        name,
        place,
        required,
        description,
        pattern: None,
        words: &[],
    }
}

const PROBLEM: &str = "Problem";
const OSB_ERROR: &str = "OsbError";
const OSB_ID: &str = "^[A-Za-z0-9-]{1,63}$";
const DEPLOYMENT_ID: &str = "^deploy-[0-9a-f]{32}$";

/// Every route.
pub(super) fn all() -> Vec<Route> {
    let mut routes = own();
    routes.extend(osb_instances());
    routes.extend(osb_bindings());
    routes
}

/// What every guarded route can answer.
fn around(body: &'static str) -> Vec<Answer> {
    vec![
        answer(401, body, "No valid key was sent."),
        answer(429, body, "More is under way than the broker takes on."),
        answer(504, body, "It took longer than the limit."),
    ]
}

/// What every route can answer that talks to the cluster.
fn cluster(body: &'static str) -> Vec<Answer> {
    vec![
        answer(500, body, "The cluster refuses the broker."),
        answer(
            503,
            body,
            "The cluster does not answer, or the record keeps changing.",
        ),
    ]
}

/// What every route can answer that reads a body.
fn reading(body: &'static str) -> Vec<Answer> {
    vec![
        answer(413, body, "The body is too large."),
        answer(415, body, "The body is not JSON."),
    ]
}

fn route(method: HttpMethod, path: &'static str, id: &'static str, summary: &'static str) -> Route {
    Route {
        method,
        path,
        id,
        tag: "broker",
        summary,
        inputs: Vec::new(),
        body: None,
        answers: Vec::new(),
        guarded: true,
    }
}

/// A route of the broker's own API.
fn of_v1(route: Route, answers: &[Answer], parts: &[fn(&'static str) -> Vec<Answer>]) -> Route {
    let shared = parts.iter().flat_map(|part| part(PROBLEM));
    Route {
        answers: answers.iter().copied().chain(shared).collect(),
        ..route
    }
}

fn own() -> Vec<Route> {
    let mut routes = documents();
    routes.extend(deployments());
    routes.extend(resources());
    routes
}

fn documents() -> Vec<Route> {
    let health = answer(200, "Health", "So it is.");
    vec![
        of_v1(
            route(HttpMethod::Get, "/", "root", "What this broker is and provisions"),
            &[answer(200, "BrokerRoot", "With every route and an example.")],
            &[around],
        ),
        of_v1(
            route(HttpMethod::Get, "/openapi.json", "openapi", "This document"),
            &[answer(200, "Document", "OpenAPI 3.1.")],
            &[around],
        ),
        Route {
            answers: vec![health],
            guarded: false,
            ..route(HttpMethod::Get, "/health", "health", "The process is up")
        },
        Route {
            answers: vec![health, answer(503, PROBLEM, "Records cannot be read.")],
            guarded: false,
            ..route(
                HttpMethod::Get,
                "/readiness",
                "readiness",
                "Requests can be taken on",
            )
        },
    ]
}

fn deployments() -> Vec<Route> {
    let bad = answer(400, PROBLEM, "Not what the route takes; the field is named.");
    let refused = answer(422, PROBLEM, "A field cannot be honoured.");
    let accepted = answer(202, "Accepted", "It is recorded, and being worked on.");
    let taken = answer(
        409,
        PROBLEM,
        "The name is taken, or the same generation was asked for otherwise.",
    );
    let absent = answer(404, PROBLEM, "No deployment has this id.");
    let status = Input {
        pattern: Some(DEPLOYMENT_ID),
        ..input(Place::Query, "id", true, "The deployment.")
    };
    vec![
        of_v1(
            Route {
                body: Some("ProvisionRequest"),
                ..route(
                    HttpMethod::Post,
                    "/v1/provision",
                    "provision",
                    "Make or change an instance",
                )
            },
            &[accepted, bad, taken, refused],
            &[reading, around, cluster],
        ),
        of_v1(
            Route {
                body: Some("ProvisionRequest"),
                ..route(
                    HttpMethod::Post,
                    "/v1/plan",
                    "plan",
                    "What the same request would change, without making it",
                )
            },
            &[answer(200, "PlanView", "What would change."), bad, taken, refused],
            &[reading, around, cluster],
        ),
        of_v1(
            Route {
                body: Some("DeprovisionRequest"),
                ..route(
                    HttpMethod::Post,
                    "/v1/deprovision",
                    "deprovision",
                    "Remove an instance",
                )
            },
            &[accepted, bad, absent, refused],
            &[reading, around, cluster],
        ),
        of_v1(
            Route {
                inputs: vec![status],
                ..route(HttpMethod::Get, "/v1/status", "status", "Where one deployment is")
            },
            &[answer(200, "DeploymentStatus", "Where it is."), bad, absent],
            &[around, cluster],
        ),
    ]
}

fn resources() -> Vec<Route> {
    let list = answer(200, "ResourceList", "What was asked for and what is there.");
    let bad = answer(400, PROBLEM, "Not what the route takes; the field is named.");
    let query = vec![
        input(Place::Query, "namespace", false, "Only this namespace."),
        Input {
            words: &["Database", "Cache", "MessageQueue"],
            ..input(Place::Query, "resourceType", false, "Only this kind.")
        },
        input(Place::Query, "resourceName", false, "Only this name."),
        Input {
            pattern: Some(DEPLOYMENT_ID),
            ..input(Place::Query, "deploymentId", false, "Only this deployment.")
        },
    ];
    vec![
        of_v1(
            Route {
                inputs: query,
                ..route(HttpMethod::Get, "/v1/resources", "resources", "Instances")
            },
            &[list, bad, answer(422, PROBLEM, "A field cannot be honoured.")],
            &[around, cluster],
        ),
        of_v1(
            Route {
                body: Some("ResourceQuery"),
                ..route(
                    HttpMethod::Post,
                    "/v1/resources",
                    "queryResources",
                    "The same, with the query as the body",
                )
            },
            &[list, bad, answer(422, PROBLEM, "A field cannot be honoured.")],
            &[reading, around, cluster],
        ),
    ]
}

/// A route of the Open Service Broker API.
fn of_v2(route: Route, answers: &[Answer]) -> Route {
    let mut inputs = vec![Input {
        pattern: Some(r"^2\.(1[3-9]|[2-9][0-9])$"),
        ..input(
            Place::Header,
            "X-Broker-API-Version",
            true,
            "The version that the platform speaks.",
        )
    }];
    if route.path.contains("{instance_id}") {
        inputs.push(Input {
            pattern: Some(OSB_ID),
            ..input(
                Place::Path,
                "instance_id",
                true,
                "The platform's id of the instance.",
            )
        });
    }
    if route.path.contains("{binding_id}") {
        inputs.push(Input {
            pattern: Some(OSB_ID),
            ..input(
                Place::Path,
                "binding_id",
                true,
                "The platform's id of the binding.",
            )
        });
    }
    inputs.extend(route.inputs);
    let mut all = answers.to_vec();
    all.push(answer(412, OSB_ERROR, "This version is not spoken here."));
    all.extend(around(OSB_ERROR));
    if route.path != "/v2/catalog" {
        all.extend(cluster(OSB_ERROR));
    }
    if route.body.is_some() {
        all.extend(reading(OSB_ERROR));
    }
    Route {
        inputs,
        answers: all,
        tag: "Open Service Broker API",
        ..route
    }
}

fn waiting() -> Input {
    Input {
        words: &["true", "false"],
        ..input(
            Place::Query,
            "accepts_incomplete",
            false,
            "Whether the platform can wait; it must.",
        )
    }
}

fn ids(required: bool) -> Vec<Input> {
    vec![
        input(
            Place::Query,
            "service_id",
            required,
            "Service offering of the instance.",
        ),
        input(Place::Query, "plan_id", required, "Service plan of the instance."),
    ]
}

fn polling() -> Vec<Input> {
    let mut inputs = ids(false);
    inputs.push(input(
        Place::Query,
        "operation",
        false,
        "What the request was answered with.",
    ));
    inputs
}

fn removing() -> Vec<Input> {
    let mut inputs = ids(true);
    inputs.push(waiting());
    inputs
}

const BAD: Answer = answer(
    400,
    OSB_ERROR,
    "Not what the route takes, or a field cannot be honoured; it is named.",
);
const ABSENT: Answer = answer(404, OSB_ERROR, "It is not there, or not yet.");
const BUSY: Answer = answer(
    422,
    OSB_ERROR,
    "AsyncRequired, ConcurrencyError or MaintenanceInfoConflict.",
);
const CONFLICT: Answer = answer(409, OSB_ERROR, "It is there, and was asked for otherwise.");
const ACCEPTED: Answer = answer(202, "Outcome", "It is recorded, and being worked on.");
const SAME: Answer = answer(200, "Outcome", "It is there as asked for.");
const GONE: Answer = answer(410, "Outcome", "It is gone.");
const PROGRESS: Answer = answer(200, "LastOperation", "How far it is.");

fn osb_instances() -> Vec<Route> {
    let path = "/v2/service_instances/{instance_id}";
    vec![
        of_v2(
            route(HttpMethod::Get, "/v2/catalog", "catalog", "What can be had"),
            &[answer(200, "Catalog", "Offerings and plans.")],
        ),
        of_v2(
            Route {
                inputs: vec![waiting()],
                body: Some("ProvisionInstance"),
                ..route(HttpMethod::Put, path, "provisionInstance", "Make an instance")
            },
            &[SAME, ACCEPTED, BAD, CONFLICT, BUSY],
        ),
        of_v2(
            Route {
                inputs: vec![waiting()],
                body: Some("UpdateInstance"),
                ..route(HttpMethod::Patch, path, "updateInstance", "Change an instance")
            },
            &[SAME, ACCEPTED, BAD, ABSENT, CONFLICT, BUSY],
        ),
        of_v2(
            Route {
                inputs: removing(),
                ..route(
                    HttpMethod::Delete,
                    path,
                    "deprovisionInstance",
                    "Remove an instance",
                )
            },
            &[ACCEPTED, BAD, GONE, BUSY],
        ),
        of_v2(
            Route {
                inputs: ids(false),
                ..route(HttpMethod::Get, path, "getInstance", "An instance that is there")
            },
            &[
                answer(200, "InstanceView", "Plan and parameters."),
                BAD,
                ABSENT,
                BUSY,
            ],
        ),
        of_v2(
            Route {
                inputs: polling(),
                ..route(
                    HttpMethod::Get,
                    "/v2/service_instances/{instance_id}/last_operation",
                    "pollInstance",
                    "How far an operation on an instance is",
                )
            },
            &[PROGRESS, BAD, ABSENT, GONE],
        ),
    ]
}

fn osb_bindings() -> Vec<Route> {
    let path = "/v2/service_instances/{instance_id}/service_bindings/{binding_id}";
    let view = answer(200, "BindingView", "The login.");
    vec![
        of_v2(
            Route {
                inputs: vec![waiting()],
                body: Some("BindInstance"),
                ..route(HttpMethod::Put, path, "bindInstance", "Make a login")
            },
            &[view, ACCEPTED, BAD, ABSENT, CONFLICT, BUSY],
        ),
        of_v2(
            Route {
                inputs: removing(),
                ..route(HttpMethod::Delete, path, "unbindInstance", "Remove a login")
            },
            &[ACCEPTED, BAD, GONE, BUSY],
        ),
        of_v2(
            Route {
                inputs: ids(false),
                ..route(HttpMethod::Get, path, "getBinding", "A login that is there")
            },
            &[view, BAD, ABSENT, BUSY],
        ),
        of_v2(
            Route {
                inputs: polling(),
                ..route(
                    HttpMethod::Get,
                    "/v2/service_instances/{instance_id}/service_bindings/{binding_id}/last_operation",
                    "pollBinding",
                    "How far an operation on a binding is",
                )
            },
            &[PROGRESS, BAD, ABSENT, GONE],
        ),
    ]
}
