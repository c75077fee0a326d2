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
    refused("[training]\nn_factors = 1025\n", "training.n_factors is 1025");
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

#[test]
fn what_processes_would_have_to_share_is_demanded() {
    refused("[log]\nkind = \"kafka\"\n", "set state.kind = \"redis\"");
    refused("[log]\nkind = \"kafka\"\n[state]\nkind = \"redis\"\n", "database.url is not set");
    let apart = Roles::of(&[RoleName::Ingest]);
    let error = Config::default().check_roles(&apart).unwrap_err().to_string();
    assert!(error.contains("`waggle serve ingest`") && error.contains("log.kind = \"kafka\""), "{error}");
    Config::default().check_roles(&Roles::all()).unwrap();
    let every_one = Roles::of(&[RoleName::Gateway, RoleName::Ingest, RoleName::Features]);
    Config::default().check_roles(&every_one).unwrap();
    load(PRODUCTION, None).unwrap().check_roles(&apart).unwrap();
}

#[test]
fn names_that_a_topic_or_a_schema_would_not_take_are_refused() {
    refused("prefix = \"\"\n", "prefix is \"\"");
    refused("prefix = \"a b\"\n", "letters, digits");
    refused("member = \"a/b\"\n", "member is \"a/b\"");
}

#[test]
fn declared_properties_are_read_and_what_cannot_be_declared_is_named() {
    let file = "[catalog]\nstrict = true\n[catalog.properties]\nweight = \"number\"\n\"Shoe size (EU)\" = \"strings\"\n";
    let config = load(file, None).unwrap();
    let types: Vec<_> =
        config.catalog.properties.iter().map(|(name, kind)| (name.as_str(), kind.to_string())).collect();
    assert!(config.catalog.strict);
    assert_eq!(types, [("Shoe size (EU)", "list of strings".to_owned()), ("weight", "number".to_owned())]);
    let printed = toml::to_string_pretty(&config).unwrap();
    assert!(printed.contains("[catalog.properties]\n\"Shoe size (EU)\" = \"strings\"\n"), "{printed}");
    refused("[catalog.properties]\nweight = \"float\"\n", "catalog.properties.weight");
    refused("[catalog.properties]\nweight = \"float\"\n", "`string`, `number`, `boolean`, `time`, `strings`");
    refused("[catalog.properties]\nweight = 3\n", "catalog.properties.weight");
    refused("[catalog]\nstrikt = true\n", "strikt");
    refused("[catalog.properties]\nprice = \"number\"\n", "`price` is a field of every item");
    refused("[catalog.properties]\n\"\" = \"number\"\n", "a property needs a name");
}

#[test]
fn secrets_are_neither_printed_nor_repeated_in_errors() {
    let config = load(PRODUCTION, None).unwrap();
    let printed = toml::to_string_pretty(&config).unwrap();
    assert!(!printed.contains("s3cret"), "{printed}");
    assert_eq!(printed.matches("***").count(), 6, "{printed}");
    assert!(!format!("{config:?}").contains("s3cret"));
    for wrong in [
        "[database]\nurl = [\"s3cret\"]\n",
        "[database]\nurl = 1234567\n",
        "member = [\"w:p://a:s3cret@b\"]",
        "[artifacts]\naccess_key = 1234567\n",
        "[artifacts]\nsecret_key = 1234567\n",
        "[artifacts]\nurl = \"s3://me:s3cret@shop\"\n",
    ] {
        let error = format!("{:#}", load(wrong, None).unwrap_err());
        assert!(!error.contains("s3cret") && !error.contains("1234567"), "{error}");
    }
}

#[test]
fn a_bucket_that_cannot_be_meant_is_refused_before_anything_is_opened() {
    let keys = "access_key = \"a\"\nsecret_key = \"s\"\n";
    refused(&format!("[artifacts]\n{keys}"), "artifacts.url is not set");
    refused("[artifacts]\nurl = \"s3://shop\"\n", "artifacts.access_key is not set");
    refused(&format!("[artifacts]\nurl = \"shop\"\n{keys}"), "artifacts.url is \"shop\"");
    let far = format!("[artifacts]\nurl = \"s3://shop\"\nendpoint = \"http://s3.shop\"\n{keys}");
    refused(&far, "needs allow_http = true");
    assert!(load(&format!("{far}allow_http = true\n"), None).unwrap().is_networked());
}

#[test]
fn a_wrong_variable_is_named_as_it_is_written() {
    let mut error =
        figment::Error::from("found \"soon\", expected u64".to_owned()).with_path("gateway.deadline_ms");
    error.metadata = Some(figment::Metadata::named("`WAGGLE__` environment variable(s)"));
    let sentence = explained(&error).to_string();
    assert!(sentence.contains("variable WAGGLE__GATEWAY__DEADLINE_MS: found \"soon\""), "{sentence}");
}

/// What `deploy/waggle.toml` shows, with secrets in it.
const PRODUCTION: &str = r#"
member = "replica-1"
[log]
kind = "kafka"
n_partitions = 16
[log.kafka]
brokers = "kafka:9092"
[log.kafka.security]
protocol = "sasl_ssl"
username = "waggle"
password = "s3cret"
[state]
kind = "redis"
[state.redis]
url = "redis://waggle:s3cret@redis:6379/0"
[cache]
kind = "redis"
[cache.redis]
url = "redis://waggle:s3cret@redis:6379/1"
[database]
url = "postgres://waggle:s3cret@postgres/waggle"
[artifacts]
url = "s3://shop/waggle"
access_key = "s3cret as well"
secret_key = "s3cret"
"#;

#[test]
fn the_documented_example_can_be_read() {
    let example = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/waggle.toml");
    let config = load(&fs::read_to_string(example).unwrap(), None).unwrap();
    config.check_roles(&Roles::of(&[RoleName::Features])).unwrap();
}
