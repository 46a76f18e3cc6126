//! Why a parameter is not accepted: it is KIDP's own, it would cost data, or it is not known.

use super::Catalogue;

/// What to answer to a name that is not on the list.
pub(super) fn reason(catalogue: &Catalogue, name: &str) -> String {
    let name = catalogue.plain(name);
    let matches = |pattern: &&str| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *pattern,
    };
    if let Some((_, why)) = catalogue
        .refused
        .iter()
        .find(|(patterns, _)| patterns.iter().any(matches))
    {
        return (*why).to_owned();
    }
    let nearest = catalogue
        .accepted
        .iter()
        .map(|p| (distance(&name, p.name), p.name))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    let engine = catalogue.engine;
    match nearest {
        Some((_, near)) => format!("is not an accepted parameter of {engine}; did you mean `{near}`?"),
        None => {
            format!("is not an accepted parameter of {engine}; the broker's root document lists them")
        }
    }
}

/// Levenshtein distance, of texts of a bounded length.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distances() {
        assert_eq!(distance("work_mem", "work_mem"), 0);
        assert_eq!(distance("workmem", "work_mem"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
