//! The engines' own clients: how they are told where to go and where their password is. Pure but for the file.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use k8s_openapi::api::core::v1::Secret;
use kidp_core::instance::Engine;
use tempfile::TempDir;

use crate::error::{Error, Result};

/// Variables by which clients take a password: taken away, so that one of another instance is not used.
pub const PASSWORD_VARIABLES: [&str; 3] = ["PGPASSWORD", "MYSQL_PWD", "REDISCLI_AUTH"];

/// Who connects. There is no `Debug`, which would show the password.
pub struct Login {
    /// User.
    pub username: String,
    /// Database; empty where the engine has none.
    pub database: String,
    password: String,
    /// What the server is verified by, where it serves TLS.
    ca: Option<String>,
}

impl Login {
    /// The login in a connection Secret.
    pub fn of(secret: &Secret) -> Option<Self> {
        let data = secret.data.as_ref()?;
        let text = |key: &str| String::from_utf8(data.get(key)?.0.clone()).ok();
        Some(Self {
            username: text("username")?,
            database: text("database").unwrap_or_default(),
            password: text("password")?,
            ca: text("ca.crt"),
        })
    }
}

/// A client that is ready to run.
#[derive(Debug)]
pub struct Prepared {
    /// The program.
    pub program: &'static str,
    /// Its arguments; no secret is among them.
    pub arguments: Vec<String>,
    /// Its variables; paths, and no secret.
    pub variables: Vec<(&'static str, String)>,
}

/// A folder that only this user can look into; in memory, where the system has such a place for its users.
pub fn folder() -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("kidp-").permissions(Permissions::from_mode(0o700));
    let made = match std::env::var_os("XDG_RUNTIME_DIR").filter(|path| Path::new(path).is_dir()) {
        Some(path) => builder.tempdir_in(path),
        None => builder.tempdir(),
    };
    made.map_err(|source| Error::File {
        path: "a folder for the password".into(),
        source,
    })
}

/// Writes the password for the engine's client, and says how the client is run.
pub fn prepare(engine: Engine, login: &Login, port: u16, folder: &Path) -> Result<Prepared> {
    let ca = match &login.ca {
        Some(ca) => Some(write(folder, "ca.crt", ca)?),
        None => None,
    };
    match engine {
        Engine::Postgresql => {
            let file = write(folder, "pgpass", &pgpass(login, port))?;
            let mut variables = vec![("PGPASSFILE", file)];
            if let Some(ca) = ca {
                variables.extend([("PGSSLMODE", "verify-ca".to_owned()), ("PGSSLROOTCERT", ca)]);
            }
            let arguments = [
                "-h",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-U",
                &login.username,
                "-d",
                &login.database,
            ];
            Ok(Prepared {
                program: "psql",
                arguments: arguments.map(str::to_owned).to_vec(),
                variables,
            })
        }
        Engine::Mysql => {
            let file = write(folder, "my.cnf", &my_cnf(login, port, ca.as_deref()))?;
            Ok(Prepared {
                program: "mysql",
                arguments: vec![format!("--defaults-extra-file={file}"), login.database.clone()],
                variables: Vec::new(),
            })
        }
        Engine::Mongodb => {
            let file = write(folder, "login.js", &mongo_script(login))?;
            let tls = ca.map(|ca| format!("&tls=true&tlsAllowInvalidHostnames=true&tlsCAFile={ca}"));
            let uri = format!(
                "mongodb://127.0.0.1:{port}/?directConnection=true{}",
                tls.unwrap_or_default()
            );
            Ok(Prepared {
                program: "mongosh",
                arguments: vec![uri, "--shell".to_owned(), file],
                variables: Vec::new(),
            })
        }
        other => Err(Error::Usage(format!(
            "the client of {other} takes its password from no file, so it is not run; without --exec, the command says how it is"
        ))),
    }
}

/// How the client is run by hand; it asks for the password.
pub fn by_hand(engine: Engine, login: &Login, port: u16) -> String {
    let Login {
        username, database, ..
    } = login;
    match engine {
        Engine::Postgresql => format!("psql -h 127.0.0.1 -p {port} -U {username} -d {database}"),
        Engine::Mysql => format!("mysql -h 127.0.0.1 -P {port} -u {username} -p {database}"),
        Engine::Mongodb => {
            format!(
                "mongosh 'mongodb://127.0.0.1:{port}/{database}?directConnection=true&authSource=admin' -u {username}"
            )
        }
        Engine::Redis => format!("redis-cli -h 127.0.0.1 -p {port} --user {username} --askpass"),
        _ => format!("127.0.0.1:{port}, user {username}"),
    }
}

/// A line of libpq's password file, in which `:` and `\` are written with a `\` before them.
fn pgpass(login: &Login, port: u16) -> String {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:");
    let [database, username, password] =
        [&login.database, &login.username, &login.password].map(|text| escaped(text));
    format!("127.0.0.1:{port}:{database}:{username}:{password}\n")
}

/// An option file of MySQL's, in which `\` and `"` of a quoted value are written with a `\` before them.
fn my_cnf(login: &Login, port: u16, ca: Option<&str>) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let tls = ca.map(|ca| format!("ssl-mode=VERIFY_CA\nssl-ca={}\n", quoted(ca)));
    format!(
        "[client]\nhost=127.0.0.1\nport={port}\nuser={}\npassword={}\n{}",
        quoted(&login.username),
        quoted(&login.password),
        tls.unwrap_or_default()
    )
}

/// What the shell runs first; texts of JSON are texts of its language.
fn mongo_script(login: &Login) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let database = if login.database.is_empty() {
        "admin"
    } else {
        &login.database
    };
    format!(
        "db.getSiblingDB(\"admin\").auth({}, {});\ndb = db.getSiblingDB({});\n",
        text(&login.username),
        text(&login.password),
        text(database)
    )
}

/// A new file that only this user can read; its path.
fn write(folder: &Path, name: &str, text: &str) -> Result<String> {
    let path = folder.join(name);
    let failed = |source| Error::File {
        path: path.clone(),
        source,
    };
    let options = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .to_owned();
    let mut file = options.open(&path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    Ok(path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "hunter2:\\\"x";

    fn login() -> Login {
        Login {
            username: "app".to_owned(),
            database: "orders".to_owned(),
            password: PASSWORD.to_owned(),
            ca: Some("-----BEGIN CERTIFICATE-----".to_owned()),
        }
    }

    #[test]
    fn a_password_is_in_a_file_of_the_user_alone_and_nowhere_else() {
        for (engine, file) in [
            (Engine::Postgresql, "pgpass"),
            (Engine::Mysql, "my.cnf"),
            (Engine::Mongodb, "login.js"),
        ] {
            let folder = folder().unwrap();
            let prepared = prepare(engine, &login(), 15432, folder.path()).unwrap();
            assert!(!format!("{prepared:?}").contains("hunter2"), "{engine}");
            assert!(!by_hand(engine, &login(), 15432).contains("hunter2"), "{engine}");
            let path = folder.path().join(file);
            assert!(std::fs::read_to_string(&path).unwrap().contains("hunter2"));
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(
                folder.path().metadata().unwrap().permissions().mode() & 0o777,
                0o700
            );
            folder.close().unwrap();
            assert!(!path.exists());
        }
    }

    #[test]
    fn what_a_format_reads_as_its_own_is_escaped() {
        assert_eq!(pgpass(&login(), 5), "127.0.0.1:5:orders:app:hunter2\\:\\\\\"x\n");
        assert!(my_cnf(&login(), 5, None).contains("password=\"hunter2:\\\\\\\"x\"\n"));
        assert!(mongo_script(&login()).contains("auth(\"app\", \"hunter2:\\\\\\\"x\")"));
    }

    #[test]
    fn clients_that_take_no_file_are_not_run() {
        for engine in [Engine::Redis, Engine::Rabbitmq] {
            let folder = folder().unwrap();
            let error = prepare(engine, &login(), 5, folder.path()).unwrap_err();
            assert_eq!(error.exit_code(), 2);
        }
    }
}
