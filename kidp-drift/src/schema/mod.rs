//! How the fields of an object are merged: which lists are told apart by keys, which are sets, which are one value,
//! and which fields hold quantities.
//!
//! The built-in kinds follow the API server's own schema, in [`table`]. Custom resources, fields that are newer than the
//! table and objects without an `apiVersion` go by the names that Kubernetes uses everywhere ([`guess`]).

pub(crate) mod guess;
mod table;

use serde_json::Value;

/// Fields that tell the items of a list apart, each with its default where the schema has one.
pub(crate) type Keys = &'static [(&'static str, &'static str)];

/// How one type is merged. Types refer to each other by their place in the table.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Scalars, maps of them, and lists that are one value.
    Plain,
    /// An amount such as `1Gi`.
    Quantity,
    /// `80` or `"80"`.
    IntOrString,
    /// A map; where it is atomic, its keys are all of one owner.
    Map {
        atomic: bool,
        rest: u16,
        fields: &'static [(&'static str, u16)],
    },
    /// A list that is one value, with the type of its items.
    Atomic(u16),
    /// Items told apart by keys.
    Keyed(Keys, u16),
    /// Scalars in any order.
    Set,
}

/// The type of a value, where it is known.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Type {
    Known(&'static Shape),
    Guessed,
}

/// How a list is compared.
#[derive(Clone, Copy, Debug)]
pub(crate) enum List {
    Ordered(Type),
    Keyed(Keys, Type),
    Set,
}

impl Type {
    /// Of a whole object.
    pub(crate) fn of(object: &Value) -> Self {
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        let wanted = (text("apiVersion"), text("kind"));
        table::KINDS
            .binary_search_by(|(name, _)| name.split_once(' ').unwrap_or_default().cmp(&wanted))
            .ok()
            .and_then(|at| table::KINDS.get(at))
            .map_or(Self::Guessed, |(_, id)| Self::at(*id))
    }

    fn at(id: u16) -> Self {
        table::TYPES
            .get(usize::from(id))
            .map_or(Self::Guessed, Self::Known)
    }

    /// Of a field of this map.
    pub(crate) fn field(self, name: &str) -> Self {
        match self {
            Self::Known(Shape::Map { fields, rest, .. }) => {
                match fields.binary_search_by(|(field, _)| (*field).cmp(name)) {
                    Ok(at) => fields.get(at).map_or(Self::Guessed, |(_, id)| Self::at(*id)),
                    Err(_) if fields.is_empty() => Self::at(*rest),
                    Err(_) => Self::Guessed,
                }
            }
            other => other,
        }
    }

    /// Whether the map is one value, whose keys are all of one owner.
    pub(crate) fn is_atomic_map(self) -> bool {
        matches!(self, Self::Known(Shape::Map { atomic: true, .. }))
    }

    /// Whether the fields of the map are fixed: then the server may fill in those that are missing.
    pub(crate) fn has_fields(self) -> bool {
        matches!(self, Self::Known(Shape::Map { fields, .. }) if !fields.is_empty())
    }

    /// How this list, in field `name`, is compared.
    pub(crate) fn list(self, name: &str, items: &[Value]) -> List {
        match self {
            Self::Known(Shape::Keyed(keys, item)) if items.iter().all(Value::is_object) => {
                List::Keyed(keys, Self::at(*item))
            }
            Self::Known(Shape::Set) => List::Set,
            Self::Known(Shape::Atomic(item)) => List::Ordered(Self::at(*item)),
            Self::Known(_) => List::Ordered(self),
            Self::Guessed => guess::list(name, items),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_refers_to_what_is_there() {
        let pairs = |name: &'static str| name.split_once(' ').unwrap();
        assert!(table::KINDS.is_sorted_by(|a, b| pairs(a.0) < pairs(b.0)));
        let known = |id: u16| usize::from(id) < table::TYPES.len();
        assert!(table::KINDS.iter().all(|(_, id)| known(*id)));
        for shape in table::TYPES {
            match shape {
                Shape::Map { rest, fields, .. } => {
                    assert!(fields.is_sorted_by(|a, b| a.0 < b.0), "{fields:?}");
                    assert!(known(*rest) && fields.iter().all(|(_, id)| known(*id)));
                }
                Shape::Atomic(item) => assert!(known(*item)),
                Shape::Keyed(keys, item) => {
                    assert!(keys.is_sorted() && !keys.is_empty() && keys.len() <= 4 && known(*item));
                }
                Shape::Plain | Shape::Quantity | Shape::IntOrString | Shape::Set => {}
            }
        }
    }

    fn at(kind: (&str, &str), path: &str) -> Type {
        let object = serde_json::json!({"apiVersion": kind.0, "kind": kind.1});
        path.split('.')
            .fold(Type::of(&object), |at, step| match (step, at) {
                ("*", Type::Known(Shape::Keyed(_, item) | Shape::Atomic(item))) => Type::at(*item),
                (name, at) => at.field(name),
            })
    }

    #[test]
    fn lists_are_merged_as_the_api_server_does() {
        let set = ("apps/v1", "StatefulSet");
        let pod = "spec.template.spec";
        for (kind, path, keys) in [
            (set, format!("{pod}.containers"), "name"),
            (set, format!("{pod}.initContainers"), "name"),
            (set, format!("{pod}.containers.*.env"), "name"),
            (
                set,
                format!("{pod}.containers.*.ports"),
                "containerPort protocol=TCP",
            ),
            (set, format!("{pod}.containers.*.volumeMounts"), "mountPath"),
            (set, format!("{pod}.containers.*.volumeDevices"), "devicePath"),
            (set, format!("{pod}.volumes"), "name"),
            (set, format!("{pod}.imagePullSecrets"), "name"),
            (
                set,
                format!("{pod}.topologySpreadConstraints"),
                "topologyKey whenUnsatisfiable",
            ),
            (set, format!("{pod}.hostAliases"), "ip"),
            (set, "metadata.ownerReferences".to_owned(), "uid"),
            (set, "status.conditions".to_owned(), "type"),
            (("v1", "Service"), "spec.ports".to_owned(), "port protocol=TCP"),
        ] {
            let Type::Known(Shape::Keyed(found, _)) = at(kind, &path) else {
                panic!("{path} has no keys: {:?}", at(kind, &path));
            };
            let found: Vec<_> = found
                .iter()
                .map(|(key, default)| {
                    if default.is_empty() {
                        (*key).to_owned()
                    } else {
                        format!("{key}={default}")
                    }
                })
                .collect();
            assert_eq!(found.join(" "), keys, "{path}");
        }
        for (kind, path) in [
            (set, format!("{pod}.containers.*.command")),
            (set, format!("{pod}.containers.*.args")),
            (set, format!("{pod}.containers.*.envFrom")),
            (set, format!("{pod}.tolerations")),
            (set, "spec.volumeClaimTemplates".to_owned()),
            (set, "spec.volumeClaimTemplates.*.spec.accessModes".to_owned()),
            (
                ("networking.k8s.io/v1", "NetworkPolicy"),
                "spec.ingress".to_owned(),
            ),
            (("rbac.authorization.k8s.io/v1", "Role"), "rules".to_owned()),
        ] {
            assert!(
                matches!(at(kind, &path), Type::Known(Shape::Plain | Shape::Atomic(_))),
                "{path}"
            );
        }
        assert!(matches!(at(set, "metadata.finalizers"), Type::Known(Shape::Set)));
        assert!(at(set, "spec.selector").is_atomic_map());
        assert!(matches!(
            at(set, &format!("{pod}.containers.*.resources.limits.cpu")),
            Type::Known(Shape::Quantity)
        ));
        assert!(matches!(
            at(set, &format!("{pod}.volumes.*.emptyDir.sizeLimit")),
            Type::Known(Shape::Quantity)
        ));
        assert!(matches!(
            at(("v1", "Service"), "spec.ports.*.targetPort"),
            Type::Known(Shape::IntOrString)
        ));
    }
}
