//! What a user does in a run.

use serde_json::{Value, json};

/// One thing that a user does, or waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Creates a database with this policy and size.
    Create {
        /// Its name.
        name: &'static str,
        /// `Delete` or `Retain`.
        policy: &'static str,
        /// Its size.
        size: &'static str,
    },
    /// Changes its spec.
    Edit {
        /// Its name.
        name: &'static str,
        /// What changes.
        spec: Value,
    },
    /// Deletes it.
    Delete {
        /// Its name.
        name: &'static str,
    },
    /// Waits until the status says that the present spec is served.
    UntilReady {
        /// Its name.
        name: &'static str,
    },
    /// Waits until a broker has made its first object for it.
    UntilBegun {
        /// Its name.
        name: &'static str,
    },
    /// Waits until the object is gone.
    UntilGone {
        /// Its name.
        name: &'static str,
    },
    /// Makes the other broker the better one.
    Tempt,
    /// Waits, in milliseconds.
    Wait(u64),
}

/// A run without faults.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What it is called.
    pub name: &'static str,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

const NAME: &str = "orders";

fn create(policy: &'static str, size: &'static str) -> Step {
    let name = NAME;
    Step::Create { name, policy, size }
}

fn edit(spec: Value) -> Step {
    Step::Edit { name: NAME, spec }
}

const READY: Step = Step::UntilReady { name: NAME };
const BEGUN: Step = Step::UntilBegun { name: NAME };
const DELETE: Step = Step::Delete { name: NAME };
const GONE: Step = Step::UntilGone { name: NAME };

/// Every scenario.
pub fn all() -> Vec<Scenario> {
    let large = || edit(json!({"size": "large"}));
    let grown = || edit(json!({"storage": {"size": "2Gi"}}));
    let script = |name, steps: &[Step]| Scenario {
        name,
        steps: steps.to_vec(),
    };
    vec![
        script("create", &[create("Delete", "small"), READY]),
        script(
            "create, resize",
            &[create("Delete", "small"), READY, large(), READY],
        ),
        script(
            "create, grow volume",
            &[create("Retain", "small"), READY, grown(), READY],
        ),
        script(
            "create, delete",
            &[create("Delete", "small"), READY, DELETE, GONE],
        ),
        script(
            "create, delete, Retain",
            &[create("Retain", "small"), READY, DELETE, GONE],
        ),
        script(
            "delete while provisioning",
            &[create("Delete", "small"), BEGUN, Step::Tempt, DELETE, GONE],
        ),
        script(
            "retain, adopt",
            &[
                create("Retain", "small"),
                READY,
                DELETE,
                GONE,
                create("Retain", "small"),
                READY,
            ],
        ),
        script(
            "delete, create again",
            &[
                create("Delete", "small"),
                READY,
                DELETE,
                GONE,
                create("Delete", "small"),
                READY,
            ],
        ),
        // The only node has no room for it until it is corrected.
        script(
            "repair",
            &[
                create("Delete", "xlarge"),
                BEGUN,
                Step::Tempt,
                Step::Wait(15_000),
                edit(json!({"size": "small"})),
                READY,
            ],
        ),
    ]
}

/// Several databases at once, for random plans.
pub fn crowd() -> Scenario {
    let ready = |name| Step::UntilReady { name };
    let create = |name, policy| Step::Create {
        name,
        policy,
        size: "small",
    };
    Scenario {
        name: "three at once",
        steps: vec![
            create("orders", "Retain"),
            create("users", "Delete"),
            create("stock", "Delete"),
            Step::Wait(1_500),
            Step::Delete { name: "stock" },
            ready("orders"),
            ready("users"),
            Step::Edit {
                name: "users",
                spec: json!({"size": "medium"}),
            },
            Step::Delete { name: "orders" },
            Step::UntilGone { name: "orders" },
            ready("users"),
            create("orders", "Retain"),
            ready("orders"),
            Step::UntilGone { name: "stock" },
        ],
    }
}

/// The object that [`Step::Create`] makes.
pub fn database(name: &str, policy: &str, size: &str) -> Value {
    json!({"apiVersion": "platform.company.com/v1", "kind": "Database",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"owner": {"kind": "Team", "name": "payments"}, "engine": "postgresql", "version": "16", "size": size,
            "highAvailability": false, "storage": {"size": "1Gi"}, "deletionPolicy": policy}})
}
