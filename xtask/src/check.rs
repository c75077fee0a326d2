//! What needs no running program: format, lints, arrows, licences, and the files under version control.

use std::path::Path;

use anyhow::{Result, bail};

use crate::{
    arrows,
    steps::{Outcome, Steps},
    tools,
    workspace::{self, Workspace},
};

/// Largest file under version control, in bytes; lock files are as large as they need to be.
const MAX_TRACKED_BYTES: u64 = 400_000;

pub(crate) fn run(workspace: &Workspace, steps: &mut Steps) {
    steps.run("format", "every file as rustfmt writes it", || {
        if let Err(missing) = tools::rustup_component("rustfmt") {
            return Ok(Outcome::Skipped(missing));
        }
        workspace::run(workspace.cargo().args(["fmt", "--all", "--", "--check"]))?;
        Outcome::passed()
    });
    steps.run("clippy", "no warning in any target", || {
        if let Err(missing) = tools::rustup_component("clippy") {
            return Ok(Outcome::Skipped(missing));
        }
        workspace::run(workspace.cargo().args([
            "clippy",
            "--release",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))?;
        Outcome::passed()
    });
    steps.run("arrows", "no crate depends on one it must not know", || {
        let wrong = arrows::violations(&workspace.metadata)?;
        if !wrong.is_empty() {
            bail!("the arrows point one way:\n     {}", wrong.join("\n     "));
        }
        Outcome::passed()
    });
    steps.run("licences", "licences, advisories and sources of dependencies", || {
        if !tools::is_on_path("cargo-deny") {
            let line = "cargo-deny is not installed: cargo install --locked cargo-deny";
            return Ok(Outcome::Skipped(line.to_owned()));
        }
        workspace::run(workspace.cargo().args(["deny", "--all-features", "check"]))?;
        Outcome::passed()
    });
    steps.run("files", "no large file, no registry address in a lock file", || {
        let wrong = file_violations(&workspace.root, &workspace.tracked_files()?)?;
        if !wrong.is_empty() {
            bail!("files that must not be under version control:\n     {}", wrong.join("\n     "));
        }
        Outcome::passed()
    });
}

/// One sentence per tracked file that is too large or that ties the lock to one registry's address.
fn file_violations(root: &Path, files: &[impl AsRef<Path>]) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for file in files {
        let file = file.as_ref();
        // A file that was deleted but not yet committed is still listed.
        let Ok(metadata) = std::fs::symlink_metadata(root.join(file)) else { continue };
        let name = file.file_name().unwrap_or_default();
        let is_lock = name == "Cargo.lock" || name == "package-lock.json";
        if metadata.len() > MAX_TRACKED_BYTES && !is_lock {
            let (path, size) = (file.display(), metadata.len());
            wrong.push(format!("{path} has {size} bytes, at most {MAX_TRACKED_BYTES} are allowed"));
        }
        if name == "package-lock.json" && std::fs::read_to_string(root.join(file))?.contains("\"resolved\"") {
            wrong.push(format!(
                "{} names a registry; write it with `npm install --omit-lockfile-registry-resolved`",
                file.display()
            ));
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_large_file_and_a_lock_with_addresses_are_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("small.rs"), "fn main() {}").unwrap();
        fs::write(dir.path().join("large.csv"), vec![b'x'; 400_001]).unwrap();
        fs::write(dir.path().join("Cargo.lock"), vec![b'x'; 400_001]).unwrap();
        fs::write(dir.path().join("package-lock.json"), r#"{"resolved": "https://example.org/x.tgz"}"#)
            .unwrap();

        let wrong = file_violations(
            dir.path(),
            &["small.rs", "large.csv", "Cargo.lock", "package-lock.json", "gone"],
        )
        .unwrap();

        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert_eq!(wrong[0], "large.csv has 400001 bytes, at most 400000 are allowed");
        assert!(wrong[1].starts_with("package-lock.json names a registry"), "{}", wrong[1]);
    }
}
