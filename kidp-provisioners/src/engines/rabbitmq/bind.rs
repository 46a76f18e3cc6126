//! Logins of bindings, as users with every right in the instance's virtual host and no tag: none may administer the
//! server. Deleting a user cuts its connections
//! (<https://www.rabbitmq.com/docs/access-control#user-management>).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::binding::{Binder, Place, Script};
use crate::instance::{Credentials, Instance};
use crate::provisioner::Provisioner as _;
use crate::resources::meta::Scope;

use super::Rabbitmq;
use super::config;

/// Each call of the tool is kept away from the script's own input.
const TOOL: &str = "set -eu\n\
    ctl() { rabbitmqctl --quiet --timeout 15 \"$@\" </dev/null; }\n\
    is_there() { ctl list_users --no-table-headers | cut -f 1 | grep -qxF -- \"$0\"; }\n";

impl Binder for Rabbitmq {
    /// Any node: users are the cluster's.
    fn place(&self, instance: &Instance) -> Place {
        Place {
            labels: Scope::new(instance).selector(),
            container: "rabbitmq".to_owned(),
        }
    }

    /// The tool would take a password from its standard input, which its terminal driver may crash on; so it is given
    /// the hash that the server keeps, which is no secret of a password of 190 random bits. It has no way to change
    /// one's hash: a user that is there is made anew.
    fn bind(&self, instance: &Instance, login: &Credentials) -> Script {
        let own = self.credentials(instance, String::new());
        let script = format!(
            "{TOOL}\
             IFS= read -r hash\n\
             test -n \"$hash\"\n\
             if is_there; then ctl delete_user \"$0\"; fi\n\
             ctl add_user \"$0\" --pre-hashed-password \"$hash\"\n\
             ctl set_permissions -p \"$1\" \"$0\" '.*' '.*' '.*'\n"
        );
        let command = ["sh", "-c", &script, &login.username, &own.database];
        Script::new(&command, format!("{}\n", password_hash(login)))
    }

    fn unbind(&self, _instance: &Instance, username: &str) -> Script {
        let script = format!("{TOOL}if is_there; then ctl delete_user \"$0\"; fi\n");
        Script::new(&["sh", "-c", &script, username], String::new())
    }

    /// Not the file that the server makes its own user from.
    fn entries(&self, instance: &Instance, login: &Credentials) -> Vec<(&'static str, String)> {
        let mut entries = self.connection_entries(&Scope::new(instance), login);
        entries.retain(|(key, _)| *key != config::LOGIN);
        entries
    }
}

/// The password as the server keeps it: a salt of four bytes, and the SHA-256 of salt and password. The salt need only
/// differ between users. <https://www.rabbitmq.com/docs/passwords#this-is-the-algorithm>
fn password_hash(login: &Credentials) -> String {
    let salt: Vec<u8> = Sha256::digest(&login.username).iter().take(4).copied().collect();
    let hash = Sha256::new()
        .chain_update(&salt)
        .chain_update(&login.password)
        .finalize();
    STANDARD.encode([&salt[..], &hash[..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_a_salt_and_the_hash_of_both() {
        let login = Credentials::new("bind_x", "hunter2".to_owned(), "/");
        let bytes = STANDARD.decode(password_hash(&login)).unwrap();
        let (salt, hash) = bytes.split_at(4);
        let expected = Sha256::digest([salt, b"hunter2"].concat());
        assert_eq!(hash, &expected[..]);
    }
}
