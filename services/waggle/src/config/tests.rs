use std::fs;

use super::*;

/// The configuration of a file with this content and these flags.
fn load(toml: &str, dir: Option<&str>) -> Result<Config> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("waggle.toml");
    fs::write(&path, toml).unwrap();
    Config::load(&Global {
        config: Some(path),
        dir: dir.map(PathBuf::from),
        data_dir: None,
        log: "warn".to_owned(),
    })
}

#[track_caller]
fn refused(toml: &str, says: &str) {
    let error = format!("{:#}", load(toml, None).unwrap_err());
    assert!(error.contains(says), "\"{error}\" does not say \"{says}\"");
}

#[test]
fn a_file_changes_what_it_names_and_flags_have_the_last_word() {
    let file = "dir = \"/from/file\"\n[gateway]\ndeadline_ms = 17\n[retrieval.limits]\nann = 3\n";
    let config = load(file, None).unwrap();
    assert_eq!((config.dir, config.gateway.deadline_ms), (PathBuf::from("/from/file"), 17));
    assert_eq!(config.retrieval.limits.ann, 3);
    assert_eq!(config.gateway.n_candidates, GatewayConfig::default().n_candidates);
    assert_eq!(load(file, Some("/from/flag")).unwrap().dir, PathBuf::from("/from/flag"));
}

#[test]
fn a_misspelt_key_or_a_wrong_value_is_named() {
    refused("[gateway]\ndeadline = 17\n", "deadline");
    refused("[gatway]\ndeadline_ms = 17\n", "gatway");
    refused("[gateway]\ndeadline_ms = \"soon\"\n", "deadline_ms");
    refused("[log]\nn_partitions = 0\n", "log.n_partitions is 0");
    refused("[gateway\n", "the configuration is not valid");
}

#[test]
fn what_is_printed_can_be_read_back() {
    let printed = toml::to_string_pretty(&Config::default()).unwrap();
    let read = load(&printed, None).unwrap();
    assert_eq!(toml::to_string_pretty(&read).unwrap(), printed);
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let flags = Global {
        config: Some(PathBuf::from("/no/such/waggle.toml")),
        dir: None,
        data_dir: None,
        log: "warn".to_owned(),
    };
    let error = Config::load(&flags).unwrap_err().to_string();
    assert_eq!(error, "configuration file /no/such/waggle.toml does not exist");
}
