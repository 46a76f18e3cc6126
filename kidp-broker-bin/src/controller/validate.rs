//! Step 2: whether the spec can be served. It was checked when it was accepted, perhaps by an older broker, and
//! the record may have been edited by hand since.

use kidp_core::problem::summarise;

use super::dereference::Subject;
use super::status::Verdict;

/// A refusal that lists every fault.
pub fn validate(subject: &Subject) -> Result<(), Verdict> {
    subject
        .provisioner
        .validate(&subject.instance)
        .map_err(|faults| Verdict::Failed {
            reason: "InvalidSpec",
            message: summarise(&faults),
        })
}
