//! Settings by size.
//!
//! Sources: the manual on the cache (<https://www.mongodb.com/docs/manual/core/wiredtiger/#memory-use>) and on
//! connections (<https://www.mongodb.com/docs/manual/reference/configuration-options/#mongodb-setting-net.maxIncomingConnections>).

use kidp_core::size::Size;

const GIB: u64 = 1 << 30;

/// Name and value of every preset.
pub(super) fn presets(size: Size) -> Vec<(&'static str, String)> {
    let memory = size.memory_bytes();
    // The server's own rule, said rather than found out: half of what is left beside a gibibyte, in steps of a
    // quarter. The rest is for connections, sorts and the file system's cache.
    let quarters = ((memory - GIB) / 2 / (GIB / 4)).max(1);
    vec![
        (
            "storage.wiredTiger.engineConfig.cacheSizeGB",
            format!("{}.{:02}", quarters / 4, quarters % 4 * 25),
        ),
        // A connection takes up to a mebibyte; the server's default, a million, would be killed for it.
        ("net.maxIncomingConnections", (500 * size.cpu_cores()).to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::presets;
    use kidp_core::size::Size;

    #[test]
    fn the_cache_is_half_of_what_is_left() {
        let caches: Vec<_> = Size::ALL.map(|size| presets(size)[0].1.clone()).to_vec();
        assert_eq!(caches, ["0.50", "1.50", "3.50", "7.50"]);
    }
}
