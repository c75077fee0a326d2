use std::{collections::BTreeMap, fs, process::Command};

use super::*;

#[test]
fn a_shell_reads_the_variables_back_whatever_they_hold() {
    let values = [("A", "127.0.0.1:1"), ("B", "it's $HOME `x` \"y\" \\"), ("C", "")];
    let variables = Variables::new(values.map(|(name, value)| (name, value.to_owned())));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("env");
    fs::write(&file, variables.env_file()).unwrap();

    let output = Command::new("sh").args(["-c", ". \"$1\" && env", "sh"]).arg(&file).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let seen: BTreeMap<_, _> = printed.lines().filter_map(|line| line.split_once('=')).collect();
    for (name, value) in values {
        assert_eq!(seen.get(&*format!("WAGGLE_TEST_{name}")), Some(&value));
        assert_eq!(variables.get(name).unwrap(), value);
    }
    assert!(variables.get("D").unwrap_err().to_string().contains("WAGGLE_TEST_D"));
}
