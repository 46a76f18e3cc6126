//! What of an instance's drift is put back: decided field by field by who calls, carried out object by object.
//!
//! - A field that is left is taken out of what is applied. Whoever changed it owns it by now, so that server-side apply
//!   keeps its value; one that was removed stays away.
//! - An object of which nothing is put back is not written.
//! - An object that was made from another rendering is written as a whole, with what was changed in it: that is no drift
//!   but a change of what is asked for, as by a renewed certificate or another image repository.
//! - An object whose note of its rendering was taken off or edited gets it back, and with it nothing that is left.
//! - What others added is left, whatever the caller says, and told.
//! - Claims are compared as well. They are grown where that is put back, and never made smaller.

use std::collections::BTreeMap;

use kidp_drift::Change;
use kube::api::DynamicObject;

use super::drift::{compare_all, judged};
use super::write::{self, Rendering};
use super::{Options, Pair, Scope, volumes};
use crate::instance::Instance;
use crate::manifests::Object;
use crate::provisioner::Provisioner;

/// Whether a change is put back.
pub type Judge<'a> = dyn Fn(&Change) -> bool + Send + Sync + 'a;

/// What became of an instance's drift.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remediated {
    /// `Kind/name` of the objects that were written.
    pub written: Vec<String>,
    /// What was put back.
    pub put_back: Vec<Change>,
    /// What was left as it is.
    pub left: Vec<Change>,
}

/// What is written.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Objects, with the paths of what is left in them.
    due: BTreeMap<String, Vec<String>>,
    /// Whether claims are grown.
    pub(super) grows: bool,
    outcome: Remediated,
}

impl Plan {
    /// All that differs.
    pub(super) fn everything(live: &[Pair<'_>]) -> Self {
        let due = live
            .iter()
            .filter(|(object, live)| write::is_due(object, live.as_ref()))
            .map(|(object, _)| (object.key(), Vec::new()));
        Self {
            due: due.collect(),
            grows: true,
            outcome: Remediated::default(),
        }
    }

    /// What is put back of what differs.
    pub(super) fn judged<P: Provisioner + ?Sized>(
        provisioner: &P,
        scope: &Scope<'_>,
        live: &[Pair<'_>],
        claims: &[DynamicObject],
        options: &Options,
        judge: &Judge<'_>,
    ) -> Self {
        let mut plan = Self::default();
        let manager = options.field_manager.as_str();
        for (object, live) in live {
            let live = live.as_ref();
            let rendering = live.map(|live| write::rendering(object, live, manager));
            if rendering == Some(Rendering::Another) {
                plan.due.insert(object.key(), Vec::new());
                plan.grows = true;
                continue;
            }
            let mut own = live.map(write::appliers).unwrap_or_default();
            own.push(manager);
            let changes = compare_all(provisioner, scope.instance, object, live, &own);
            plan.object(changes, object, rendering == Some(Rendering::Unknown), judge);
            if let Some(set) = live {
                let sizes = volumes::changes(scope, object, set, claims);
                plan.sizes(provisioner, scope.instance, sizes, judge);
            }
        }
        plan
    }

    /// `is_due`: whether it is written even where nothing is put back.
    fn object(&mut self, changes: Vec<Change>, object: &Object, is_due: bool, judge: &Judge<'_>) {
        let is_put_back = |change: &Change| !change.added && judge(change);
        let (put_back, left): (Vec<_>, Vec<_>) = changes.into_iter().partition(is_put_back);
        if is_due || !put_back.is_empty() {
            let paths = left.iter().filter(|change| !change.added);
            let paths = paths.map(|change| change.path.clone());
            self.due.insert(object.key(), paths.collect());
        }
        self.grows |= put_back.iter().any(volumes::is_growth);
        self.outcome.put_back.extend(put_back);
        self.outcome.left.extend(left);
    }

    /// Claims are no objects of the rendering: a missing one is made by the StatefulSet's controller.
    fn sizes<P: Provisioner + ?Sized>(
        &mut self,
        provisioner: &P,
        instance: &Instance,
        changes: Vec<Change>,
        judge: &Judge<'_>,
    ) {
        for change in changes {
            let change = judged(provisioner, instance, change);
            if volumes::is_growth(&change) && judge(&change) {
                self.grows = true;
                self.outcome.put_back.push(change);
            } else {
                self.outcome.left.push(change);
            }
        }
    }

    pub(super) fn is_due(&self, object: &Object) -> bool {
        self.due.contains_key(&object.key())
    }

    pub(super) fn left_in(&self, object: &Object) -> Vec<&str> {
        let left = self.due.get(&object.key()).into_iter().flatten();
        left.map(String::as_str).collect()
    }

    pub(super) fn outcome(self) -> Remediated {
        self.outcome
    }
}
