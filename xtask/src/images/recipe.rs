//! Image recipes: `devcluster/images/<name>/recipe.yaml`. A recipe is a list of Debian packages, with Go tools
//! and Node programs beside them, or Go tools alone, or one C source; its hash covers every file it uses, so that a changed recipe is
//! built again and nothing else is.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{ImageConfig, ImageError, tools};
use crate::devcluster::key;
use crate::paths::checkout;

/// How one image is made.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The folder's name.
    pub name: String,
    /// Where its files are.
    pub dir: PathBuf,
    /// Over the recipe and every file it uses.
    pub hash: String,
    /// What the file says.
    pub spec: Spec,
}

/// The content of `recipe.yaml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// Tags, the full reference each.
    pub tags: Vec<String>,
    /// Whether every cluster gets it. The others are built when something asks for them by name, so that a machine
    /// does not pay for five engines to try one.
    #[serde(default)]
    pub default: bool,
    /// Where the files come from.
    pub source: Source,
    /// How containers run.
    #[serde(default)]
    pub config: ImageConfig,
}

/// Where an image's files come from.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Source {
    /// A static program from one C file, as `/<name>`.
    Program(String),
    /// Debian packages.
    Debian(Box<Debian>),
    /// Static programs of Go modules, and nothing else.
    Go(GoTools),
}

/// Programs without a system around them. `@ARCH@` in a path is the machine's, in Go's words.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GoTools {
    /// Target to `module/program`, as in [`Debian::go_tools`].
    pub programs: BTreeMap<String, String>,
    /// Symbolic links: name to target.
    #[serde(default)]
    pub links: BTreeMap<String, String>,
}

/// A root file system from Debian packages.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Debian {
    /// Debian's code name.
    pub suite: String,
    /// Takes the suite's index although its date of expiry has passed, as it has on mirrors that lag behind a moving
    /// suite. Signatures are checked all the same; what is given up is the proof that nothing newer is held back,
    /// which matters to a server and not to an image for tests.
    #[serde(default)]
    pub accept_old_index: bool,
    /// Packages beside the essential ones.
    pub packages: Vec<String>,
    /// Users that must have the official image's ids; made before the packages would make them.
    #[serde(default)]
    pub users: Vec<User>,
    /// A package whose upstream version becomes one more tag, in place of the first tag's.
    #[serde(default)]
    pub version_of: Option<String>,
    /// Files to add, from the recipe's folder: target to source.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Programs to add from a Go module of `devcluster/`: target to `module/program`.
    #[serde(default)]
    pub go_tools: BTreeMap<String, String>,
    /// Node programs to add: target folder to a folder of `devcluster/` with a `package-lock.json`.
    #[serde(default)]
    pub node_programs: BTreeMap<String, String>,
    /// Shell lines with `$1` as the root: before the packages are unpacked.
    #[serde(default)]
    pub before: Vec<String>,
    /// Shell lines with `$1` as the root: at the end.
    #[serde(default)]
    pub after: Vec<String>,
    /// Patterns under the root to leave out.
    #[serde(default)]
    pub remove: Vec<String>,
}

/// A user with a fixed id.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct User {
    /// Login name, and the group's.
    pub name: String,
    /// User and group id.
    pub id: u32,
    /// Home folder.
    pub home: String,
}

/// Every recipe, sorted by name.
pub fn all() -> Result<Vec<Recipe>, ImageError> {
    let root = checkout().join("devcluster/images");
    let entries = std::fs::read_dir(&root).map_err(ImageError::io(&root))?;
    let mut dirs: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    dirs.retain(|dir| dir.join("recipe.yaml").is_file());
    dirs.sort();
    dirs.iter().map(|dir| load(dir)).collect()
}

fn load(dir: &Path) -> Result<Recipe, ImageError> {
    let path = dir.join("recipe.yaml");
    let text = std::fs::read_to_string(&path).map_err(ImageError::io(&path))?;
    let spec: Spec = serde_yaml_ng::from_str(&text).map_err(|e| ImageError::Recipe {
        path: path.clone(),
        reason: e.to_string(),
    })?;
    let mut parts = vec![text];
    for path in used(dir, &spec.source) {
        parts.push(std::fs::read_to_string(&path).map_err(ImageError::io(&path))?);
    }
    let tools = match &spec.source {
        Source::Program(_) => None,
        Source::Debian(debian) => Some(&debian.go_tools),
        Source::Go(go) => Some(&go.programs),
    };
    for tool in tools.into_iter().flat_map(BTreeMap::values) {
        parts.push(tools::go_tool_hash(tool)?);
    }
    let hash = key(&parts.iter().map(String::as_str).collect::<Vec<_>>());
    let name = dir
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    Ok(Recipe {
        name,
        dir: dir.to_owned(),
        hash,
        spec,
    })
}

/// Every file beside the recipe that decides what the image holds.
fn used(dir: &Path, source: &Source) -> Vec<PathBuf> {
    let debian = match source {
        Source::Program(file) => return vec![dir.join(file)],
        Source::Go(_) => return Vec::new(),
        Source::Debian(debian) => debian,
    };
    let shared = checkout().join("devcluster");
    let locks = debian
        .node_programs
        .values()
        .map(|folder| shared.join(folder).join("package-lock.json"));
    let files = debian.files.values().map(|file| dir.join(file));
    files.chain(locks).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_of_the_checkout_loads() {
        let recipes = all().unwrap();
        let names: Vec<&str> = recipes.iter().map(|r| r.name.as_str()).collect();
        assert!(
            names.contains(&"pause") && names.contains(&"postgres-15"),
            "{names:?}"
        );
        for recipe in &recipes {
            assert!(!recipe.spec.tags.is_empty() && recipe.hash.len() == 64);
        }
        let default = |name| recipes.iter().any(|r| r.name == name && r.spec.default);
        assert!(default("pause") && default("postgres-15"));
        assert!(!default("mysql-9"), "the other engines are built upon request");
    }

    #[test]
    fn postgres_has_the_official_ids_and_entry_point() {
        let recipe = all()
            .unwrap()
            .into_iter()
            .find(|r| r.name == "postgres-15")
            .unwrap();
        assert_eq!(recipe.spec.config.entrypoint, ["docker-entrypoint.sh"]);
        let Source::Debian(debian) = recipe.spec.source else {
            panic!("a Debian image")
        };
        assert!(debian.users.iter().any(|u| u.name == "postgres" && u.id == 999));
    }
}
