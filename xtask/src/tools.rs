//! Tools that the steps need, installed where that is possible and named where it is not.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use crate::workspace;

pub(crate) fn is_on_path(program: &str) -> bool {
    find_on_path(program).is_some()
}

/// The first program of this name in the folders of `$PATH`.
pub(crate) fn find_on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Makes sure that `cargo fmt` or `cargo clippy` can run.
///
/// # Errors
/// A sentence with the line that installs it.
pub(crate) fn rustup_component(component: &str) -> Result<(), String> {
    let subcommand = if component == "rustfmt" { "fmt" } else { component };
    let works = || {
        Command::new("cargo")
            .args([subcommand, "--version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    if works() {
        return Ok(());
    }
    let line = format!("rustup component add {component}");
    if is_on_path("rustup") {
        println!("   {component} is missing, trying: {line}");
        // Whether it helped is asked of the tool itself.
        let _ = Command::new("rustup").args(["component", "add", component]).status();
        if works() {
            return Ok(());
        }
    }
    Err(format!("{component} is not installed: {line}"))
}

/// Node.js with npm, installed from the distribution's packages where we may.
pub(crate) fn node() -> Result<()> {
    if !(is_on_path("node") && is_on_path("npm")) {
        apt_install("Node.js with npm", &["nodejs", "npm"])?;
    }
    Ok(())
}

/// A client of Kafka that is not ours, for tests of what others write.
pub(crate) fn kcat() -> Result<()> {
    if !is_on_path("kcat") {
        apt_install("kcat, by which the tests write to Kafka", &["kcat"])?;
    }
    Ok(())
}

/// A Python of its own in `home` with what `requirements` names; gives the folder of its programs.
pub(crate) fn python_environment(home: &Path, requirements: &Path) -> Result<PathBuf> {
    let wanted = fs::read(requirements)?;
    let (venv, installed) = (home.join("venv"), home.join("installed.txt"));
    let programs = venv.join("bin");
    // Written last, so that what was cut off is done again.
    if fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(programs);
    }
    let can_make = || {
        let mut ask = Command::new("python3");
        ask.args(["-c", "import ensurepip, venv"]).stderr(Stdio::null());
        ask.status().is_ok_and(|status| status.success())
    };
    if !can_make() {
        apt_install("Python with venv", &["python3", "python3-venv"])?;
    }
    workspace::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let mut pip = Command::new(programs.join("python"));
    workspace::run(pip.args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(requirements))?;
    fs::write(installed, wanted)?;
    Ok(programs)
}

/// A Chromium that is on the machine already, or one from the distribution's packages.
pub(crate) fn chromium() -> Result<PathBuf> {
    const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let find = || NAMES.into_iter().find_map(find_on_path);
    if let Some(found) = find() {
        return Ok(found);
    }
    apt_install("Chromium", &["chromium"])?;
    match find() {
        Some(found) => Ok(found),
        None => bail!("the package chromium was installed, but no program of that name is on the path"),
    }
}

/// The system's OpenSSL as `openssl-sys` looks for it, for a build with the feature `tls`.
pub(crate) fn openssl() -> Result<()> {
    let found = || {
        let mut ask = Command::new("pkg-config");
        ask.args(["--exists", "openssl"]).status().is_ok_and(|status| status.success())
    };
    // Whoever names a folder of their own has one.
    if env::var_os("OPENSSL_DIR").is_none() && !found() {
        apt_install("OpenSSL to build against", &["libssl-dev", "pkg-config"])?;
    }
    Ok(())
}

/// Installs packages on Debian and its kin when we are root. A server that comes with one is not started.
pub(crate) fn apt_install(what: &str, packages: &[&str]) -> Result<()> {
    let line = format!("apt-get update && apt-get install -y {}", packages.join(" "));
    if !is_root() || !is_on_path("apt-get") {
        bail!("{what} is missing; install it, on Debian or Ubuntu as root: {line}");
    }
    println!("   {what} is missing, trying: {line}");
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(args);
        workspace::run(&mut command)
    };
    let _quiet = NothingStarts::try_new()?;
    apt(&["update", "-qq"])?;
    apt(&[&["install", "-y", "-qq", "--no-install-recommends"], packages].concat())?;
    // Nor at the machine's next start. A package that is no server has no unit of its name, which is no failure.
    if Path::new("/run/systemd/system").is_dir() {
        let _ = Command::new("systemctl").args(["disable", "--quiet"]).args(packages).status();
    }
    Ok(())
}

/// While this lives, packages install their servers without starting them: Debian asks `policy-rc.d`.
struct NothingStarts {
    /// Whether the policy is ours to take away again.
    is_ours: bool,
}

impl NothingStarts {
    const POLICY: &str = "/usr/sbin/policy-rc.d";

    fn try_new() -> Result<Self> {
        let is_ours = !Path::new(Self::POLICY).exists();
        if is_ours {
            fs::write(Self::POLICY, "#!/bin/sh\nexit 101\n")?;
            fs::set_permissions(Self::POLICY, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { is_ours })
    }
}

impl Drop for NothingStarts {
    fn drop(&mut self) {
        if self.is_ours {
            // If it stays, services of this machine do not start on installation: nothing worse.
            let _ = fs::remove_file(Self::POLICY);
        }
    }
}

pub(crate) fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Copies a folder with everything in it; `to` is created and must not exist.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
