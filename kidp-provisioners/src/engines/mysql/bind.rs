//! Logins of bindings, as accounts with every right to the instance's database and none to the server.
//!
//! The server leaves passwords out of its logs by itself
//! (<https://dev.mysql.com/doc/refman/8.4/en/password-logging.html>). What an account defines (views, routines,
//! triggers) stays when it goes, and runs in the name of nobody then: define it as the instance's own user.

use crate::binding::{Binder, Place, Script};
use crate::instance::{Credentials, Instance};
use crate::provisioner::Provisioner as _;
use crate::resources::meta::Scope;

use super::Mysql;

/// The administrator's client, over the pod's own socket. The shell reads the password from its file and passes it on
/// as an option file through a pipe, so that it is in no argument and in no variable. `printf` is the shell's own.
///
/// The script's first argument is the length of its input, which may stay open: older versions of the protocol that it
/// comes over cannot close it.
const CLIENT: &str = "set -euo pipefail\n\
    ask() {\n\
    mysql --defaults-file=<(printf '[client]\\npassword=%s\\n' \"$(cat /etc/kidp/connection/password)\") \
    --protocol=SOCKET --socket=/var/run/mysqld/mysqld.sock -u root --connect-timeout=5 -N -B \"$@\"\n\
    }\n\
    given() { head -c \"$0\"; }\n";

impl Binder for Mysql {
    fn place(&self, instance: &Instance) -> Place {
        Place {
            labels: Scope::new(instance).selector(),
            container: "mysql".to_owned(),
        }
    }

    fn bind(&self, instance: &Instance, login: &Credentials) -> Script {
        let own = self.credentials(instance, String::new());
        let account = account(&login.username);
        let (password, database) = (literal(&login.password), identifier(&own.database));
        let statements = format!(
            "CREATE USER IF NOT EXISTS {account};\n\
             ALTER USER {account} IDENTIFIED BY {password} ACCOUNT UNLOCK;\n\
             GRANT ALL PRIVILEGES ON {database}.* TO {account};\n"
        );
        let length = statements.len().to_string();
        Script::new(
            &["bash", "-c", &format!("{CLIENT}given | ask\n"), &length],
            statements,
        )
    }

    /// First nobody gets in any more, then those who are in go, then the account. One that left by itself meanwhile
    /// is as good.
    fn unbind(&self, _instance: &Instance, username: &str) -> Script {
        let (account, name) = (account(username), literal(username));
        let lock = format!(
            "ALTER USER IF EXISTS {account} ACCOUNT LOCK;\n\
             SELECT CONCAT('KILL ', ID, ';') FROM performance_schema.processlist WHERE USER = {name};\n"
        );
        let drop = format!("DROP USER IF EXISTS {account}");
        let script = format!(
            "{CLIENT}connections=\"$(given | ask)\"\n\
             printf '%s\\n' \"$connections\" | ask --force || true\n\
             ask -e \"$1\"\n"
        );
        let length = lock.len().to_string();
        Script::new(&["bash", "-c", &script, &length, &drop], lock)
    }

    fn entries(&self, instance: &Instance, login: &Credentials) -> Vec<(&'static str, String)> {
        self.connection_entries(&Scope::new(instance), login)
    }
}

fn account(username: &str) -> String {
    format!("{}@'%'", literal(username))
}

/// A text in single quotes: here a backslash begins an escape.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::literal;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<String> {
        let mut chars = text.strip_prefix('\'')?.chars();
        let mut value = String::new();
        loop {
            match chars.next()? {
                '\\' => value.push(chars.next().filter(|c| *c == '\\')?),
                '\'' => match chars.next() {
                    None => return Some(value),
                    Some('\'') => value.push('\''),
                    Some(_) => return None,
                },
                c => value.push(c),
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_one_value(text in "[a-z'\"\\\\; -]{0,20}") {
            prop_assert_eq!(read(&literal(&text)), Some(text));
        }
    }
}
