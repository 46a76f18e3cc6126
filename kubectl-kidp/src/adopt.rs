//! `adopt`: takes over a StatefulSet that is there already. First it only looks, by reads and dry runs in the target cluster,
//! and says what stands in the way, what would change, and the digest by which a restart is accepted; with `--apply` it
//! asks for it.

use kidp_core::revision::Revision;
use kidp_provisioners::adoption::{self, AdoptionRefusal};
use kidp_provisioners::{ClusterFeatures, Instance, Plan, Registry};
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::{AdoptArgs, Global};
use crate::create;
use crate::documents::Document;
use crate::error::{Error, Result, Verdict};
use crate::kinds::{self, Subject};
use crate::output::{self, Format, Health, Paint};
use crate::session::Session;

/// What taking it over would do.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    object: String,
    /// What stands in the way.
    blockers: Vec<String>,
    /// Why it is not done now, where nothing stands in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    /// What accepts the restart of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    plan: Plan,
    /// Whether it was asked for.
    asked: bool,
}

/// Looks, and asks where that was said.
pub async fn run(global: &Global, args: &AdoptArgs) -> Result<Verdict> {
    let object = object(global, args)?;
    create::check(global, &object)?;
    let session = Session::open(global).await?;
    let there = kinds::find(&session, &args.new.resource).await?;
    let mut answer = Box::pin(examine(&session, args, &object, there.as_ref())).await?;
    let is_possible = answer.blockers.is_empty() && answer.refusal.is_none();
    if args.apply && is_possible {
        ask(&session, &object, there.as_ref()).await?;
        answer.asked = true;
    }
    let paint = Paint::stdout(global.color);
    output::answer(global.output.unwrap_or(Format::Table), &answer, |answer| {
        text(answer, args, paint)
    })?;
    // To be told a digest when only looking is what was asked for.
    let is_good = answer.asked
        || (!args.apply && answer.blockers.is_empty() && (is_possible || answer.digest.is_some()));
    Ok(if is_good { Verdict::Good } else { Verdict::Bad })
}

/// The resource that asks for it.
fn object(global: &Global, args: &AdoptArgs) -> Result<Value> {
    let mut object = create::object(&args.new)?;
    let mut keys = json!({"password": args.password_key});
    for (name, key) in [("username", &args.username_key), ("database", &args.database_key)] {
        if let Some(key) = key {
            keys[name] = key.as_str().into();
        }
    }
    let mut adopt = json!({"statefulSet": args.stateful_set, "podTemplate": args.pod_template,
        "secretRef": {"name": args.secret, "keys": keys}});
    let fields = [
        ("username", &args.username),
        ("database", &args.database),
        ("acceptPlan", &args.accept_plan),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            adopt[name] = value.as_str().into();
        }
    }
    object["spec"]["adopt"] = adopt;
    if let Some(namespace) = &global.namespace {
        object["metadata"]["namespace"] = namespace.as_str().into();
    }
    Ok(object)
}

async fn examine(
    session: &Session,
    args: &AdoptArgs,
    object: &Value,
    there: Option<&Subject>,
) -> Result<Answer> {
    let document = Document {
        file: "-".to_owned(),
        number: 1,
        value: object.clone(),
    };
    let wanted = document.subject().and_then(std::result::Result::ok);
    let wanted = wanted.ok_or_else(|| Error::Sdk("the object is of no kind of service".to_owned()))?;
    let registry = Registry::standard();
    let provisioner = registry.get(wanted.kind, wanted.instance.engine);
    let provisioner =
        provisioner.ok_or_else(|| Error::Sdk(format!("{} has no provisioner", wanted.instance.engine)))?;
    let instance = instance(session, &wanted, there, provisioner.latest_revision()).await?;
    let looked = session
        .within(
            "looking at it",
            adoption::examine(provisioner.as_ref(), &session.target, &instance),
        )
        .await?;
    let refusal = match looked.decide(args.accept_plan.as_deref()) {
        // Those are told as blockers.
        Ok(_) | Err(AdoptionRefusal::Blocked(_)) if !looked.blockers.is_empty() => None,
        Ok(_) => None,
        Err(refusal) => Some(refusal.to_string()),
    };
    Ok(Answer {
        object: document.key(),
        blockers: looked.blockers.iter().map(ToString::to_string).collect(),
        refusal,
        digest: looked.digest,
        plan: looked.plan,
        asked: false,
    })
}

/// As the broker would see the request; of a resource that is there, its record says what was taken over already.
async fn instance(
    session: &Session,
    wanted: &Subject,
    there: Option<&Subject>,
    latest: Revision,
) -> Result<Instance> {
    let doing = "asking for the cluster's features";
    let features = session
        .within(doing, ClusterFeatures::discover(&session.target))
        .await?;
    let record = match there {
        Some(there) => crate::record::find(session, there).await?,
        None => None,
    };
    Ok(match record {
        Some(record) => Instance {
            spec: wanted.instance.clone(),
            ..kidp_broker::record::instance_of(&record, features)
        },
        None => Instance {
            features,
            revision: latest,
            owner: Some(wanted.owner.clone()),
            team: wanted.owner.name.clone(),
            ..Instance::new(
                wanted.kind,
                &session.namespace,
                wanted.name(),
                wanted.instance.clone(),
            )
        },
    })
}

/// Makes the resource, or puts the request into the one that is there.
async fn ask(session: &Session, object: &Value, there: Option<&Subject>) -> Result<()> {
    let Some(there) = there else {
        return create::send(session, object, false).await;
    };
    let resource = create::resource(there.kind.as_str());
    let api: Api<DynamicObject> = Api::namespaced_with(session.client.clone(), there.namespace(), &resource);
    let patch = Patch::Merge(json!({"spec": {"adopt": object["spec"]["adopt"]},
        "metadata": {"resourceVersion": there.metadata.resource_version}}));
    let params = PatchParams {
        field_manager: Some(create::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let sent = session
        .ask("asking for it", api.patch(there.name(), &params, &patch))
        .await;
    sent.map(drop).map_err(create::refused)
}

fn text(answer: &Answer, args: &AdoptArgs, paint: Paint) -> String {
    let mut lines = vec![format!("{}\n", answer.plan)];
    lines.extend(
        answer
            .blockers
            .iter()
            .map(|blocker| format!("in the way: {}\n", output::line(blocker))),
    );
    lines.extend(
        answer
            .refusal
            .iter()
            .map(|refusal| format!("not done: {}\n", output::line(refusal))),
    );
    let said = match (&answer.digest, answer.asked, answer.blockers.is_empty()) {
        (_, true, _) => paint.health(Health::Good, "asked for"),
        (_, _, false) => paint.health(Health::Bad, "blocked"),
        (Some(digest), ..) if args.accept_plan.as_ref() != Some(digest) => {
            format!("its pods would be replaced; to accept that: --apply --accept-plan {digest}")
        }
        _ => "nothing stands in the way; --apply asks for it".to_owned(),
    };
    lines.push(format!("{}: {said}\n", answer.object));
    lines.concat()
}
