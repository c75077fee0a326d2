//! Servers in Java: their jars from Maven, run by the machine's virtual machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::folder;
use crate::tools;

/// What the servers here run on, and nothing older.
const JAVA: u32 = 17;

/// The jars of one server.
pub(super) struct Jars {
    /// The service, for whoever waits.
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// What is asked for; what it needs comes with it.
    pub(super) artifacts: &'static [Artifact],
    /// What comes without that which it says it needs.
    pub(super) alone: &'static [Artifact],
}

/// Group, name and version.
type Artifact = (&'static str, &'static str, &'static str);

impl Jars {
    /// Debian packages without which it cannot be started; Maven only until the jars are there.
    pub(super) fn missing_packages(&self, folder: &Path) -> Result<Vec<&'static str>> {
        let mut packages = Vec::new();
        match java_version() {
            None => packages.push("default-jre-headless"),
            Some(version) if version < JAVA => bail!(
                "Java {version} is too old for {} {}: install Java {JAVA} or newer and put it on the path",
                self.name,
                self.version
            ),
            Some(_) => {}
        }
        if !self.are_assembled(folder) && !tools::is_on_path("mvn") {
            packages.push("maven");
        }
        Ok(packages)
    }

    /// Copies the jars and all they need, from Maven's cache or the network.
    pub(super) fn assemble(&self, folder: &Path) -> Result<()> {
        if self.are_assembled(folder) {
            return Ok(());
        }
        let libs = self.libs(folder);
        eprintln!("   {:<9} assembling {} with Maven", self.name, self.version);
        let pom = folder.join("pom.xml");
        folder::write(&pom, self.pom_xml().as_bytes())?;
        let fresh = folder.join("libs.part");
        folder::remove(&fresh)?;
        let mut command = Command::new("mvn");
        command.args(["--batch-mode", "--quiet", "--file"]).arg(&pom).arg("dependency:copy-dependencies");
        command.arg("-DincludeScope=runtime").arg(format!("-DoutputDirectory={}", fresh.display()));
        let output = command.current_dir(folder).output().context("mvn cannot be started")?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            let first: Vec<_> = said.lines().filter(|line| line.contains("ERROR")).take(3).collect();
            let (group, name, version) = self.artifacts[0];
            bail!(
                "Maven could not fetch {} ({}); where there is a network, try: mvn dependency:get \
                 -Dartifact={group}:{name}:{version}",
                self.name,
                first.join(" ")
            );
        }
        // All or nothing. What is there already was assembled when less was asked for.
        folder::remove(&libs)?;
        fs::rename(&fresh, &libs)?;
        Ok(())
    }

    /// The virtual machine with the classes, in the service's folder. Settings and the main class are the caller's.
    pub(super) fn java(&self, folder: &Path) -> Command {
        let mut command = Command::new("java");
        command.args(["-XX:ActiveProcessorCount=2", "-cp"]);
        command.arg(self.class_path(folder)).current_dir(folder);
        command
    }

    pub(super) fn class_path(&self, folder: &Path) -> String {
        format!("{}/*", self.libs(folder).display())
    }

    fn are_assembled(&self, folder: &Path) -> bool {
        let libs = self.libs(folder);
        let mut all = self.artifacts.iter().chain(self.alone);
        all.all(|(_, name, version)| libs.join(format!("{name}-{version}.jar")).is_file())
    }

    fn libs(&self, folder: &Path) -> PathBuf {
        folder.join(format!("libs-{}", self.version))
    }

    fn pom_xml(&self) -> String {
        let name = self.name;
        let dependency = |(group, artifact, version): &Artifact, exclusions: &str| {
            format!(
                "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
                 <version>{version}</version>{exclusions}</dependency>\n"
            )
        };
        const ALL: &str =
            "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>";
        let dependencies: String = self
            .artifacts
            .iter()
            .map(|artifact| dependency(artifact, ""))
            .chain(self.alone.iter().map(|artifact| dependency(artifact, ALL)))
            .collect();
        format!(
            "<project><modelVersion>4.0.0</modelVersion>
<groupId>local</groupId><artifactId>{name}-for-tests</artifactId><version>1</version>
<dependencies>
{dependencies}</dependencies></project>
"
        )
    }
}

fn java_version() -> Option<u32> {
    let output = Command::new("java").arg("-version").output().ok()?;
    parse_java_version(&String::from_utf8_lossy(&output.stderr))
}

/// From `openjdk version "17.0.15" 2025-04-15`; before Java 9 the first number was 1.
fn parse_java_version(text: &str) -> Option<u32> {
    let quoted = text.split_once("version \"")?.1;
    let mut numbers = quoted.split(['.', '"', '-', '+', '_']).map(|part| part.parse().ok());
    match numbers.next()?? {
        1 => numbers.next()?,
        major => Some(major),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_says_its_version_in_several_ways() {
        let check = |text, expected| assert_eq!(parse_java_version(text), expected, "{text}");
        check("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime …", Some(17));
        check("openjdk version \"21\" 2023-09-19", Some(21));
        check("java version \"1.8.0_412\"", Some(8));
        check("openjdk version \"25-ea\" 2025-09-16", Some(25));
        check("bash: java: command not found", None);
        check("version \"?\"", None);
    }
}
