//! Positions in a queue, as a status tells them.
//!
//! A write for each step forward would be one for every object that waits each time that one is served. So a position
//! is told coarsely: it is "fifth or better" until it is third, and a queue of a thousand costs each some ten writes.

const STEPS: [usize; 10] = [1, 2, 3, 5, 10, 20, 50, 100, 200, 500];

/// The step that a position is on: the position itself or a worse one, and the same for a while.
///
/// ```
/// use kidp_core::position::coarse;
/// assert_eq!([1, 4, 5, 6, 501].map(coarse), [1, 5, 5, 10, 1000]);
/// ```
pub fn coarse(position: usize) -> usize {
    let step = STEPS.into_iter().find(|step| position <= *step);
    step.unwrap_or(position.div_ceil(1000) * 1000)
}

#[cfg(test)]
mod tests {
    use super::coarse;

    #[test]
    fn a_queue_costs_few_writes_and_a_told_position_is_never_too_good() {
        let told: std::collections::BTreeSet<_> = (1..=1000).map(coarse).collect();
        assert_eq!(told.len(), 11);
        assert!((1..3000).all(|position| coarse(position) >= position));
        assert!((1..3000).all(|position| coarse(position) <= coarse(position + 1)));
    }
}
