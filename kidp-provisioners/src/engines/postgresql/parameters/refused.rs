//! Why a parameter is not accepted: it is KIDP's own, it would cost data, or it is not known.

use super::PARAMETERS;

/// Parameters by prefix, and why they are not taken.
const REFUSED: [(&[&str], &str); 6] = [
    (
        &[
            "data_directory",
            "config_file",
            "hba_file",
            "ident_file",
            "external_pid_file",
            "include",
        ],
        "is set by KIDP: the pod's mounts depend on it",
    ),
    (
        &["listen_addresses", "port", "unix_socket_", "bonjour"],
        "is set by KIDP: the Service and the probes depend on it",
    ),
    (
        &[
            "ssl",
            "password_encryption",
            "krb_",
            "gss_",
            "authentication_timeout",
        ],
        "is set by KIDP: how clients authenticate is spec.encryption's matter",
    ),
    (
        &[
            "archive_",
            "restore_command",
            "recovery_",
            "primary_",
            "synchronous_standby_names",
            "hot_standby",
        ],
        "is set by KIDP: backup and replication are spec.backup's and spec.highAvailability's matter",
    ),
    (
        &[
            "fsync",
            "full_page_writes",
            "zero_damaged_pages",
            "ignore_checksum_failure",
            "ignore_invalid_pages",
        ],
        "is not to be changed: a crash would lose data",
    ),
    (
        &[
            "logging_collector",
            "log_destination",
            "log_directory",
            "log_filename",
            "huge_pages",
            "dynamic_shared_memory_type",
            "shared_memory_type",
        ],
        "is set by KIDP: it has to fit the container",
    ),
];

/// What to answer to a name that is not on the list.
pub(super) fn reason(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let matches = |pattern: &&str| {
        if pattern.ends_with('_') || *pattern == "ssl" {
            lower.starts_with(*pattern)
        } else {
            lower == *pattern
        }
    };
    if let Some((_, why)) = REFUSED.iter().find(|(patterns, _)| patterns.iter().any(matches)) {
        return why.to_string();
    }
    let nearest = PARAMETERS
        .iter()
        .map(|p| (distance(&lower, p.name), p.name))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    match nearest {
        Some((_, near)) => format!("is not an accepted parameter of PostgreSQL; did you mean `{near}`?"),
        None => {
            "is not an accepted parameter of PostgreSQL; the broker's root document lists them".to_owned()
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
