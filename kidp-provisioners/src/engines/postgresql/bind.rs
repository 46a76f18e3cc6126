//! Logins of bindings, as roles.
//!
//! Every binding's role is a member of one group, and acts as the group from its first statement on
//! (`ALTER ROLE … SET role`). What it makes is the group's: other bindings can use it, and it is still there when the
//! binding is gone. The instance's own user may use it too, and the group what that user has made in `public`.
//!
//! The role has no rights over the server: it makes neither roles nor databases.
//!
//! The server would write the statement with the password to its log if asked to log statements, and
//! `pg_stat_statements` would keep it; both are turned off for the session.

use crate::binding::{Binder, Place, Script, sql_identifier as ident, sql_literal as literal};
use crate::instance::{Credentials, Instance};
use crate::provisioner::Provisioner as _;
use crate::resources::cloudnative_pg::{CLUSTER_LABEL, PRIMARY, ROLE_LABEL};
use crate::resources::meta::Scope;

use super::Postgresql;

/// The group.
const GROUP: &str = "kidp_bindings";

/// Before every script: no trace of it, and no wait without end.
const QUIET: &str = "SET log_statement = 'none'; SET log_min_duration_statement = -1; \
                     SET log_min_error_statement = 'panic'; SET pg_stat_statements.track = 'none'; \
                     SET lock_timeout = '10s'; SET statement_timeout = '20s';\n";

/// Ends the client. Its input may stay open: older versions of the protocol that it comes over cannot close it.
const END: &str = "\\q\n";

impl Binder for Postgresql {
    /// The only member, or the one that takes writes.
    fn place(&self, instance: &Instance) -> Place {
        let scope = Scope::new(instance);
        if !instance.spec.high_availability {
            let adopted = scope.kept();
            return Place {
                labels: scope.selector(),
                container: adopted
                    .map_or("postgresql", |kept| kept.container.as_str())
                    .to_owned(),
            };
        }
        let pair = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        Place {
            labels: [(CLUSTER_LABEL, scope.base.as_str()), (ROLE_LABEL, PRIMARY)]
                .map(pair)
                .into(),
            container: "postgres".to_owned(),
        }
    }

    fn bind(&self, instance: &Instance, login: &Credentials) -> Script {
        let own = self.credentials(instance, String::new());
        self.script(instance, &bind(&own, login))
    }

    fn unbind(&self, instance: &Instance, username: &str) -> Script {
        self.script(instance, &unbind(username))
    }

    fn entries(&self, instance: &Instance, login: &Credentials) -> Vec<(&'static str, String)> {
        self.connection_entries(&Scope::new(instance), login)
    }
}

impl Postgresql {
    /// Over the pod's own socket, where the image and `CloudNativePG` alike let their superuser in. A statement that
    /// fails ends the script; its error is told without the statement.
    fn script(&self, instance: &Instance, statements: &str) -> Script {
        let own = self.credentials(instance, String::new());
        let superuser = if instance.spec.high_availability {
            "postgres"
        } else {
            &own.username
        };
        let command = [
            "psql",
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-v",
            "VERBOSITY=terse",
            "-v",
            "SHOW_CONTEXT=never",
            "-U",
            superuser,
            "-d",
            &own.database,
            "-f",
            "-",
        ];
        Script::new(&command, format!("{QUIET}{statements}{END}"))
    }
}

fn bind(own: &Credentials, login: &Credentials) -> String {
    let (user, name) = (ident(&login.username), literal(&login.username));
    let (group, owner, database) = (ident(GROUP), ident(&own.username), ident(&own.database));
    let group_name = literal(GROUP);
    let password = literal(&login.password);
    format!(
        "BEGIN;\n\
         DO $kidp$ BEGIN\n\
         PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext({group_name}));\n\
         IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {group_name}) THEN\n\
         CREATE ROLE {group} NOLOGIN;\n\
         END IF;\n\
         IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {name}) THEN\n\
         CREATE ROLE {user} NOLOGIN;\n\
         END IF;\n\
         END $kidp$;\n\
         GRANT ALL ON DATABASE {database} TO {group};\n\
         GRANT ALL ON SCHEMA public TO {group};\n\
         GRANT ALL ON ALL TABLES IN SCHEMA public TO {group};\n\
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {group};\n\
         ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT ALL ON TABLES TO {group};\n\
         ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT ALL ON SEQUENCES TO {group};\n\
         GRANT {group} TO {owner};\n\
         GRANT {group} TO {user};\n\
         ALTER ROLE {user} IN DATABASE {database} SET role = {group_name};\n\
         ALTER ROLE {user} LOGIN PASSWORD {password};\n\
         COMMIT;\n"
    )
}

/// First nobody gets in any more, then those who are in go, then the role.
fn unbind(username: &str) -> String {
    let (user, name, group) = (ident(username), literal(username), ident(GROUP));
    let exists = format!("IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {name}) THEN");
    format!(
        "DO $kidp$ BEGIN {exists} ALTER ROLE {user} NOLOGIN; END IF; END $kidp$;\n\
         DO $kidp$ BEGIN PERFORM pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
         WHERE usename = {name}; END $kidp$;\n\
         DO $kidp$ BEGIN {exists}\n\
         REASSIGN OWNED BY {user} TO {group};\n\
         DROP OWNED BY {user};\n\
         DROP ROLE {user};\n\
         END IF; END $kidp$;\n"
    )
}
