//! Root file systems: static programs, or Debian packages laid out by `mmdebstrap` and trimmed.
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::recipe::{Debian, GoTools, Source};
use super::{ImageError, Recipe, archive, binary, tools};
use crate::paths::Layout;
use crate::process::Cmd;

const BUILD_DEADLINE: Duration = Duration::from_mins(15);

/// What no container needs.
const TRIMMED: [&str; 14] = [
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/i18n/*",
    "/usr/share/lintian/*",
    "/usr/share/bug/*",
    "/usr/share/common-licenses/*",
    "/var/cache/debconf/*-old",
    "/var/cache/debconf/templates.dat",
    "/var/lib/apt/lists/*",
    "/var/cache/apt/*",
    "/var/log/*",
    "/tmp/*",
];

/// Builds a recipe into a docker-archive.
pub async fn build(layout: &Layout, recipe: &Recipe, target: &Path) -> Result<(), ImageError> {
    let temp = tempfile::tempdir().map_err(ImageError::io("/tmp"))?;
    let layer = temp.path().join("layer.tar");
    let mut tags = recipe.spec.tags.clone();
    match &recipe.spec.source {
        Source::Program(file) => program(recipe, file, &layer).await?,
        Source::Go(go) => go_programs(layout, go, &layer).await?,
        Source::Debian(debian) => {
            let version = temp.path().join("version");
            let extra = tools::fetch(layout, debian, temp.path()).await?;
            bootstrap(recipe, debian, &extra, &layer, &version).await?;
            if let (Some(tag), true) = (tags.first().cloned(), debian.version_of.is_some()) {
                let said = std::fs::read_to_string(&version).map_err(ImageError::io(&version))?;
                tags.extend(version_tags(&tag, &said)?);
            }
        }
    }
    archive::pack(target, &tags, &recipe.spec.config, &layer)
}

async fn program(recipe: &Recipe, file: &str, layer: &Path) -> Result<(), ImageError> {
    let binary = layer.with_extension("bin");
    let cc = Cmd::new("gcc").args(["-Os", "-static", "-s", "-o"]).arg(&binary);
    cc.arg(recipe.dir.join(file)).output().await?;
    let out = std::fs::File::create(layer).map_err(ImageError::io(layer))?;
    let mut tar = tar::Builder::new(out);
    let mut input = std::fs::File::open(&binary).map_err(ImageError::io(&binary))?;
    tar.append_file(&recipe.name, &mut input)
        .and_then(|()| tar.finish())
        .map_err(ImageError::io(layer))
}

/// The layer of static Go programs: they load no library.
async fn go_programs(layout: &Layout, go: &GoTools, layer: &Path) -> Result<(), ImageError> {
    let here = |path: &str| path.replace("@ARCH@", archive::ARCHITECTURE);
    let mut files = Vec::new();
    for (target, tool) in &go.programs {
        files.push((tools::go_tool(layout, tool).await?, here(target)));
    }
    let links: Vec<_> = go.links.iter().map(|(name, to)| (here(name), here(to))).collect();
    binary::write_layer(layer, files.into_iter(), &links)
}

async fn bootstrap(
    recipe: &Recipe,
    debian: &Debian,
    extra: &[(PathBuf, String)],
    layer: &Path,
    version: &Path,
) -> Result<(), ImageError> {
    let mut command = Cmd::new("mmdebstrap")
        .timeout(BUILD_DEADLINE)
        .args(["--mode=root", "--variant=minbase"]);
    command = command.arg(format!("--include={}", debian.packages.join(",")));
    if debian.accept_old_index {
        command = command.arg("--aptopt=Acquire::Check-Valid-Until \"false\"");
    }
    for pattern in [
        "/usr/share/doc/*",
        "/usr/share/man/*",
        "/usr/share/info/*",
        "/usr/share/locale/*",
    ] {
        command = command.arg(format!("--dpkgopt=path-exclude={pattern}"));
    }
    for line in user_lines(debian).iter().chain(&debian.before) {
        command = command.arg(format!("--essential-hook={line}"));
    }
    if let Some(package) = &debian.version_of {
        let query = format!("dpkg-query --admindir=\"$1/var/lib/dpkg\" -W -f '${{Version}}' {package}");
        command = command.arg(format!("--customize-hook={query} > {}", version.display()));
    }
    for (target, source) in &debian.files {
        let source = recipe.dir.join(source);
        command = command.arg(format!(
            "--customize-hook=install -D -m 0755 {} \"$1{target}\"",
            source.display()
        ));
    }
    for (source, target) in extra {
        command = command.arg(format!(
            "--customize-hook=mkdir -p \"$(dirname \"$1{target}\")\" && cp -R --preserve=mode {} \"$1{target}\"",
            source.display()
        ));
    }
    for pattern in TRIMMED
        .iter()
        .copied()
        .chain(debian.remove.iter().map(String::as_str))
    {
        command = command.arg(format!("--customize-hook=rm -rf \"$1\"{pattern}"));
    }
    for line in &debian.after {
        command = command.arg(format!("--customize-hook={line}"));
    }
    command
        .arg(&debian.suite)
        .arg(layer)
        .args(mirrors(&debian.suite)?)
        .output()
        .await?;
    Ok(())
}

/// Shell lines that add users, before any package could add them with other ids.
fn user_lines(debian: &Debian) -> Vec<String> {
    let lines = debian.users.iter().map(|user| {
        let (name, id, home) = (&user.name, user.id, &user.home);
        format!(
            "echo '{name}:x:{id}:{id}::{home}:/bin/bash' >> \"$1/etc/passwd\"; \
             echo '{name}:x:{id}:' >> \"$1/etc/group\"; echo '{name}:!:19700::::::' >> \"$1/etc/shadow\""
        )
    });
    lines.collect()
}

/// `docker.io/library/mysql:9` and `9.7.4-2` make `docker.io/library/mysql:9.7` and `docker.io/library/mysql:9.7.4`.
/// Another version than the tag's is an error: a suite that moved on must not be passed off as what it was.
fn version_tags(tag: &str, version: &str) -> Result<Vec<String>, ImageError> {
    let upstream = version.trim().rsplit(':').next().unwrap_or_default();
    let upstream = upstream.split(['-', '+', '~']).next().unwrap_or_default();
    let wrong = || ImageError::WrongVersion {
        tag: tag.to_owned(),
        version: version.trim().to_owned(),
    };
    let (repository, wanted) = tag.rsplit_once(':').ok_or_else(wrong)?;
    let wanted: Vec<&str> = wanted.split('.').collect();
    let parts: Vec<&str> = upstream.split('.').collect();
    if !parts.starts_with(&wanted) {
        return Err(wrong());
    }
    let longer = (wanted.len() + 1)..=parts.len();
    Ok(longer
        .map(|n| format!("{repository}:{}", parts[..n].join(".")))
        .collect())
}

/// One-line apt sources for a suite, from the mirror that this machine's apt uses.
fn mirrors(suite: &str) -> Result<Vec<String>, ImageError> {
    let mut files: Vec<PathBuf> = vec!["/etc/apt/sources.list".into()];
    if let Ok(entries) = std::fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    let texts = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
    let mut urls: Vec<String> = texts.flat_map(|text| debian_urls(&text)).collect();
    urls.dedup();
    let main = urls
        .iter()
        .find(|url| !url.contains("security"))
        .ok_or(ImageError::NoMirror)?;
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let signed = if Path::new(keyring).exists() {
        format!("[signed-by={keyring}] ")
    } else {
        String::new()
    };
    let mut lines = vec![format!("deb {signed}{main} {suite} main")];
    if suite == "sid" {
        // It has no updates beside itself.
        return Ok(lines);
    }
    lines.push(format!("deb {signed}{main} {suite}-updates main"));
    if let Some(security) = urls.iter().find(|url| url.contains("security")) {
        lines.push(format!("deb {signed}{security} {suite}-security main"));
    }
    Ok(lines)
}

/// Mirrors of Debian itself named in an apt source file, in either of its two formats.
fn debian_urls(text: &str) -> Vec<String> {
    let is_debian = |url: &&str| {
        let path = url.trim_end_matches('/');
        url.contains("://") && (path.ends_with("/debian") || path.ends_with("/debian-security"))
    };
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("deb ") || line.starts_with("URIs:"));
    lines
        .flat_map(|line| line.split_whitespace().filter(is_debian))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_read_from_both_formats() {
        let new =
            "Types: deb\n# http://old.example/debian\nURIs: http://mirror.example/debian\nSuites: bookworm\n";
        assert_eq!(debian_urls(new), ["http://mirror.example/debian"]);
        let old = "deb [arch=amd64] https://m.example/debian/ bookworm main\n# deb http://x.example/debian y\n\
                   deb https://other.example/apt z main\n";
        assert_eq!(debian_urls(old), ["https://m.example/debian/"]);
    }

    #[test]
    fn the_full_version_becomes_tags() {
        let tags = |tag, version| version_tags(tag, version).unwrap();
        let postgres = "docker.io/library/postgres:15";
        assert_eq!(
            tags(postgres, "15.18-0+deb12u1\n"),
            ["docker.io/library/postgres:15.18"]
        );
        assert_eq!(tags("redis:8", "5:8.0.2-1"), ["redis:8.0", "redis:8.0.2"]);
        assert!(tags("redis:8.0.2", "5:8.0.2-1").is_empty());
    }

    #[test]
    fn another_version_is_refused() {
        for version in ["9.7.4-2", "80.1", ""] {
            let error = version_tags("mysql:8", version).unwrap_err();
            assert!(matches!(error, ImageError::WrongVersion { .. }), "{error}");
        }
    }
}
