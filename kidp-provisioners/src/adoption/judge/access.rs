//! Login, password and database of what is taken over, and secrets that are where they should not be.

use k8s_openapi::api::core::v1::{Container, PodTemplateSpec, Secret};
use kidp_core::instance::{NAME_RULE, is_plain_name};

use super::super::Obstacle;
use super::Case;

/// Longest password that is taken over.
const MAX_PASSWORD: usize = 256;
const PASSWORD_RULE: &str = "must be 1 to 256 letters, digits, `-`, `.`, `_` and `~`";

/// What a name of a variable says that holds a secret.
const SECRET_WORDS: [&str; 3] = ["PASS", "SECRET", "TOKEN"];

/// Who logs in where. The password is looked at, and left where it is.
pub(super) struct Access {
    pub(super) username: String,
    pub(super) database: String,
}

impl Case<'_> {
    pub(super) fn access(&mut self, secret: Option<&Secret>) -> Option<Access> {
        let reference = self.adopt.secret_ref.clone();
        let key = format!("Secret/{}", reference.name);
        let Some(secret) = secret else {
            self.block(&key, Obstacle::Missing);
            return None;
        };
        let password = self.entry(&key, secret, &reference.keys.password);
        if password.is_some_and(|password| !is_address_safe(&password)) {
            self.characters(&key, &reference.keys.password, PASSWORD_RULE);
        }
        let username = self.name(&key, secret, self.adopt.username.clone(), reference.keys.username);
        let database = self.name(&key, secret, self.adopt.database.clone(), reference.keys.database);
        Some(Access {
            username: username?,
            database: database?,
        })
    }

    /// What is given, or what the Secret has for it.
    fn name(
        &mut self,
        object: &str,
        secret: &Secret,
        given: Option<String>,
        key: Option<String>,
    ) -> Option<String> {
        let Some(key) = key else { return given };
        let found = self.entry(object, secret, &key)?;
        if !is_plain_name(&found) {
            self.characters(object, &key, NAME_RULE);
        }
        Some(found)
    }

    fn entry(&mut self, object: &str, secret: &Secret, key: &str) -> Option<String> {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        let text = bytes.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
        let text = text.filter(|text| !text.is_empty());
        if text.is_none() {
            let key = key.to_owned();
            self.block(object, Obstacle::SecretKey { key });
        }
        text
    }

    fn characters(&mut self, object: &str, key: &str, rule: &'static str) {
        let key = key.to_owned();
        self.block(object, Obstacle::Characters { key, rule });
    }
}

/// What stands for itself in an address.
/// <https://www.rfc-editor.org/rfc/rfc3986#section-2.3>
fn is_address_safe(password: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    password.len() <= MAX_PASSWORD && password.bytes().all(allowed)
}

/// Places of a pod template that hold a secret as text, as far as their names tell.
pub(super) fn secrets_in(template: &PodTemplateSpec) -> Vec<String> {
    let spec = template.spec.iter();
    let containers = spec.flat_map(|spec| {
        spec.containers
            .iter()
            .chain(spec.init_containers.iter().flatten())
    });
    containers.flat_map(variables_with_secrets).collect()
}

fn variables_with_secrets(container: &Container) -> Vec<String> {
    let variables = container.env.iter().flatten();
    let secret = variables.filter(|variable| {
        let name = variable.name.to_uppercase();
        // A path, as of a `_FILE` variable, is no secret.
        let is_text = variable
            .value
            .as_ref()
            .is_some_and(|value| !value.is_empty() && !value.starts_with('/'));
        is_text && SECRET_WORDS.iter().any(|word| name.contains(word))
    });
    secret
        .map(|variable| format!("containers[{}].env[{}]", container.name, variable.name))
        .collect()
}
