//! The walk through two objects at once, from the top. It allocates nothing while they agree, looks into long lists by
//! an index, and goes no deeper than [`DEPTH`].

use serde_json::{Map, Value};

use crate::items::Items;
use crate::path::Step;
use crate::quantity;
use crate::schema::{Keys, List, Shape, Type, guess};

/// Levels that are told apart; what lies deeper is compared as a whole. JSON parsers go no deeper either.
pub(crate) const DEPTH: usize = 128;

/// What only the API server writes.
const SERVER_OWNED: &[&str] = &[
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Fields whose empty map says something: "everything" or "this kind of volume".
const MEANT_WHEN_EMPTY: &[&str] = &["emptyDir", "labelSelector", "namespaceSelector"];

/// A difference.
pub(crate) struct Found<'p, 'a> {
    pub path: &'p [Step<'a>],
    pub desired: &'a Value,
    pub live: Option<&'a Value>,
}

/// Where the comparison stands.
pub(crate) struct Walk<'a, F> {
    path: Vec<Step<'a>>,
    report: F,
}

impl<'a, F: FnMut(Found<'_, 'a>)> Walk<'a, F> {
    pub(crate) fn new(report: F) -> Self {
        Self {
            path: Vec::new(),
            report,
        }
    }

    /// Two whole objects.
    pub(crate) fn object(&mut self, kind: Type, desired: &'a Value, live: &'a Value) {
        self.value(kind, false, desired, Some(live));
    }

    /// `exact`: whether this is part of one value, to which nobody else adds.
    fn value(&mut self, kind: Type, exact: bool, desired: &'a Value, live: Option<&'a Value>) {
        if self.path.len() >= DEPTH {
            if !live.is_some_and(|live| equal(desired, live)) {
                self.found(desired, live);
            }
            return;
        }
        match (desired, live) {
            (Value::Object(map), Some(Value::Object(other))) => {
                let exact = exact || kind.is_atomic_map();
                if exact && has_more(kind, map, other) {
                    self.found(desired, live);
                } else {
                    self.fields(kind, exact, map, other);
                }
            }
            (Value::Array(list), Some(Value::Array(other))) => {
                match kind.list(self.name(0), list) {
                    List::Keyed(keys, item) => self.keyed(keys, item, exact, list, other),
                    List::Set => self.keyed(&[], kind, exact, list, other),
                    // An ordered list is one value: a shorter or longer one is another list.
                    List::Ordered(_) if list.len() != other.len() => self.found(desired, live),
                    List::Ordered(item) => self.ordered(item, list, other),
                }
            }
            (_, None | Some(Value::Null)) if self.is_nothing(kind, desired) => {}
            (_, Some(live)) if self.is_same(kind, desired, live) => {}
            _ => self.found(desired, live),
        }
    }

    fn fields(
        &mut self,
        kind: Type,
        exact: bool,
        desired: &'a Map<String, Value>,
        live: &'a Map<String, Value>,
    ) {
        for (name, value) in desired {
            if self.is_server_owned(name) {
                continue;
            }
            self.path.push(Step::Field(name));
            self.value(kind.field(name), exact, value, live.get(name));
            self.path.pop();
        }
    }

    fn ordered(&mut self, item: Type, desired: &'a [Value], live: &'a [Value]) {
        for (index, (value, live)) in desired.iter().zip(live).enumerate() {
            self.path.push(Step::Index(index));
            self.value(item, true, value, Some(live));
            self.path.pop();
        }
    }

    /// A list in any order; without keys a set of scalars.
    fn keyed(&mut self, keys: Keys, item: Type, exact: bool, desired: &'a [Value], live: &'a [Value]) {
        let mut items = Items::new(keys, desired, live);
        for (at, value) in desired.iter().enumerate() {
            let (nth, found) = items.find(at);
            if keys.is_empty() {
                if found.is_none() {
                    self.path.push(Step::Member(value));
                    self.found(value, None);
                    self.path.pop();
                }
                continue;
            }
            self.path.push(Step::Item(keys, value, nth));
            match found {
                // An item that holds nothing but its keys is still an item.
                None => self.found(value, None),
                found => self.value(item, exact, value, found),
            }
            self.path.pop();
        }
    }

    fn found(&mut self, desired: &'a Value, live: Option<&'a Value>) {
        (self.report)(Found {
            path: &self.path,
            desired,
            live,
        });
    }

    /// Whether the value means the same as its absence. `false` and `0` do not: many fields default to something else.
    fn is_nothing(&self, kind: Type, desired: &Value) -> bool {
        let meant = matches!(kind, Type::Known(Shape::Map { .. }))
            && desired.is_object()
            && (MEANT_WHEN_EMPTY.contains(&self.name(0))
                || (self.name(0) == "podSelector"
                    && matches!(self.path.iter().rev().nth(1), Some(Step::Index(_)))));
        !meant && is_empty(desired, DEPTH)
    }

    fn is_same(&self, kind: Type, desired: &Value, live: &Value) -> bool {
        let scalar = |value: &Value| !value.is_object() && !value.is_array();
        if !scalar(desired) || !scalar(live) {
            return false;
        }
        desired == live
            || match kind {
                Type::Known(Shape::Quantity) => quantity::equal(desired, live),
                Type::Known(Shape::IntOrString) => same_spelled(desired, live),
                Type::Known(_) => same_number(desired, live),
                Type::Guessed if self.is_users_text() => false,
                Type::Guessed if guess::is_quantity(self.name(1), self.name(0)) => {
                    quantity::equal(desired, live)
                }
                Type::Guessed => same_number(desired, live) || same_spelled(desired, live),
            }
    }

    fn is_users_text(&self) -> bool {
        matches!(
            self.path.first(),
            Some(Step::Field("data" | "stringData" | "binaryData"))
        )
    }

    fn is_server_owned(&self, name: &str) -> bool {
        match self.path.as_slice() {
            [] => name == "status",
            [Step::Field("metadata")] => SERVER_OWNED.contains(&name),
            _ => false,
        }
    }

    /// Name of the field `up` steps above the current one; empty at the root and in a list.
    fn name(&self, up: usize) -> &'a str {
        match self.path.iter().rev().nth(up) {
            Some(Step::Field(name)) => name,
            _ => "",
        }
    }
}

/// Whether a map that is one value holds something that was not asked for, other than what the server fills in: that
/// are scalars and maps of types with fixed fields. What is not in the schema may be filled in by anything.
fn has_more(kind: Type, desired: &Map<String, Value>, live: &Map<String, Value>) -> bool {
    if matches!(kind, Type::Guessed) {
        return false;
    }
    let filled_in =
        |name: &str, value: &Value| kind.has_fields() && !value.is_array() && name != "matchLabels";
    live.iter().any(|(name, value)| {
        !desired.contains_key(name) && !filled_in(name, value) && !is_empty(value, DEPTH)
    })
}

/// One as text and one as a number, as an int-or-string field may be: `targetPort`.
fn same_spelled(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(text), Value::Number(number)) | (Value::Number(number), Value::String(text)) => {
            *text == number.to_string()
        }
        _ => false,
    }
}

/// `1` and `1.0`; whole numbers are compared exactly.
fn same_number(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => (a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64(),
        _ => false,
    }
}

/// Whether there is nothing in it, down to `depth` levels.
pub(crate) fn is_empty(value: &Value, depth: usize) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => depth > 0 && map.values().all(|value| is_empty(value, depth - 1)),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// Equality of values of any depth, by a list instead of recursion.
fn equal(a: &Value, b: &Value) -> bool {
    let mut open = vec![(a, b)];
    while let Some(pair) = open.pop() {
        match pair {
            (Value::Object(a), Value::Object(b)) => {
                if a.len() != b.len() {
                    return false;
                }
                for (name, value) in a {
                    let Some(other) = b.get(name) else { return false };
                    open.push((value, other));
                }
            }
            (Value::Array(a), Value::Array(b)) => {
                if a.len() != b.len() {
                    return false;
                }
                open.extend(a.iter().zip(b));
            }
            (Value::Object(_) | Value::Array(_), _) | (_, Value::Object(_) | Value::Array(_)) => {
                return false;
            }
            (a, b) if a == b => {}
            _ => return false,
        }
    }
    true
}

/// A copy that says so where it is nested too deeply.
pub(crate) fn bounded(value: &Value) -> Value {
    fn copy(value: &Value, depth: usize) -> Value {
        match value {
            Value::Object(_) | Value::Array(_) if depth == 0 => Value::from("(nested too deeply)"),
            Value::Object(map) => Value::Object(
                map.iter()
                    .map(|(name, value)| (name.clone(), copy(value, depth - 1)))
                    .collect(),
            ),
            Value::Array(list) => Value::Array(list.iter().map(|value| copy(value, depth - 1)).collect()),
            scalar => scalar.clone(),
        }
    }
    copy(value, DEPTH)
}
