//! Certificates and a password for Kafka's second listener, made at the first `up`.
//!
//! An authority of our own signs one key for 127.0.0.1 and localhost. Nothing outside these tests trusts it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use rand::{Rng, distributions::Alphanumeric};

use super::folder;

/// Who logs in at the listener.
pub(super) const USER: &str = "waggle";

pub(super) struct Tls {
    folder: PathBuf,
}

impl Tls {
    pub(super) fn in_folder(services: &Path) -> Self {
        Self { folder: services.join("tls") }
    }

    /// Certificate of the authority, which a client trusts.
    pub(super) fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The server's key and certificates in one file.
    pub(super) fn keystore(&self) -> PathBuf {
        self.folder.join("server.pem")
    }

    pub(super) fn password(&self) -> Result<String> {
        let path = self.folder.join("password");
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    pub(super) fn exists(&self) -> bool {
        // The last file that is written.
        self.keystore().is_file()
    }

    /// Makes what is missing.
    ///
    /// - `for_all`: whether the user of a container must be able to read the key
    pub(super) fn make(&self, for_all: bool) -> Result<()> {
        if !self.exists() {
            self.make_anew()?;
        }
        fs::set_permissions(
            self.keystore(),
            fs::Permissions::from_mode(if for_all { 0o644 } else { 0o600 }),
        )?;
        Ok(())
    }

    fn make_anew(&self) -> Result<()> {
        folder::remove(&self.folder)?;
        fs::create_dir_all(&self.folder)?;
        let password: String =
            rand::thread_rng().sample_iter(Alphanumeric).take(32).map(char::from).collect();
        folder::write(&self.folder.join("password"), password.as_bytes())?;
        const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        const DAYS: &str = "3650";
        let request = ["req", "-x509", "-subj", "/CN=Waggle test authority", "-days", DAYS];
        self.openssl(&[&request[..], &KEY, &["-keyout", "ca.key", "-out", "ca.pem"]].concat())?;
        let request =
            ["req", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"];
        self.openssl(&[&request[..], &KEY, &["-keyout", "server.key", "-out", "server.csr"]].concat())?;
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            DAYS,
            "-copy_extensions",
            "copy",
            "-out",
            "server.crt",
        ])?;
        let parts = ["server.key", "server.crt", "ca.pem"].map(|name| fs::read(self.folder.join(name)));
        let parts = parts.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
        folder::write(&self.keystore(), &parts)
    }

    fn openssl(&self, args: &[&str]) -> Result<()> {
        let output = Command::new("openssl").args(args).current_dir(&self.folder).output();
        let output = output.context("openssl cannot be started")?;
        if !output.status.success() {
            bail!("openssl {}: {}", args[0], String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }
}
