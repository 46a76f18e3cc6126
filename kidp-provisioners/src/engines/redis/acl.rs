//! Who may do what: `users.acl`, made at each start of a pod from the password in the Secret.
//!
//! The image turns protected mode off, so that a server without a password would serve everyone
//! (<https://github.com/redis/docker-library-redis/blob/release/8.0/debian/Dockerfile>). The password has to get into a
//! file that the server reads, and a ConfigMap is no place for it: an init container writes the file into a folder
//! in memory, with the SHA-256 of the password in its place
//! (<https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/>).

/// Folder of the file; in memory.
pub(super) const FOLDER: &str = "/run/kidp";
/// The file.
pub(super) const PATH: &str = "/run/kidp/users.acl";
/// Folder of the password.
pub(super) const CONNECTION: &str = "/etc/kidp/connection";

/// What the client's user may do: everything with data, and nothing with the server. With `CONFIG SET` it could turn
/// off what its spec asked for, with `REPLICAOF` take in foreign data, with `MODULE LOAD` or `DEBUG` run code. What
/// only looks is left in, `ACL WHOAMI`, slow log and latency.
pub(super) const CLIENT_RULES: &str = "~* &* +@all -@admin -migrate +acl|whoami +client|list +client|kill \
                            +slowlog|get +slowlog|len +latency|latest +latency|history";

/// Writes the file. The password is an argument of no program: `cat` and `printf` put it through a pipe, and
/// `printf` is the shell's own. A password of nothing would let everybody in, so that it ends the start.
pub(super) fn script() -> String {
    format!(
        "set -eu\n\
         umask 0077\n\
         password=\"$(cat {CONNECTION}/password)\"\n\
         test -n \"$password\"\n\
         hash=\"$(printf %s \"$password\" | sha256sum | cut -c1-64)\"\n\
         test \"${{#hash}}\" = 64\n\
         printf 'user default on #%s {CLIENT_RULES}\\n' \"$hash\" > {PATH}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// The file that the script writes, run by this machine's shell with its folders in place of the pod's.
    fn run(password: &str) -> (bool, String, u32) {
        use std::os::unix::fs::PermissionsExt;
        static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("kidp-acl-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("password"), password).unwrap();
        let folder_text = folder.to_str().unwrap();
        let script = script()
            .replace(CONNECTION, folder_text)
            .replace(FOLDER, folder_text);
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        let file = folder.join("users.acl");
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let mode = std::fs::metadata(&file).map_or(0, |m| m.permissions().mode() & 0o777);
        std::fs::remove_dir_all(&folder).unwrap();
        (output.status.success(), text, mode)
    }

    #[test]
    fn the_file_has_the_hash_and_not_the_password() {
        let (ok, text, mode) = run("abc");
        assert!(ok);
        // FIPS 180-2, appendix B.1.
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(
            text.starts_with(&format!("user default on #{hash} ~* &* +@all -@admin ")),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1);
        assert_eq!(mode, 0o600);
    }

    #[test]
    fn without_a_password_nothing_starts() {
        let (ok, text, _) = run("");
        assert!(!ok && text.is_empty());
    }
}
