use super::*;

#[track_caller]
fn refused(path: &Path, says: &str) {
    let error = format!("{:#}", DataDir::open(path).unwrap_err());
    assert!(error.contains(says), "\"{error}\" does not say \"{says}\"");
}

#[test]
fn a_folder_is_made_used_and_used_again() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("not").join("there");
    let dir = DataDir::open(&path).unwrap();
    drop(dir);
    DataDir::open(&path).unwrap();
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let _held = DataDir::open(folder.path()).unwrap();
    refused(folder.path(), "another waggle works on");
}

#[test]
fn another_format_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let marker = r#"{"format":99,"created_by":"9.9.9"}"#;
    fs::write(folder.path().join(MARKER), marker).unwrap();
    refused(folder.path(), "has format 99 (written by waggle 9.9.9)");
    assert_eq!(fs::read_to_string(folder.path().join(MARKER)).unwrap(), marker);
}

#[test]
fn a_damaged_marker_a_foreign_log_and_a_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(MARKER), "{").unwrap();
    refused(folder.path(), "waggle-dir.json is damaged");
    fs::remove_file(folder.path().join(MARKER)).unwrap();
    fs::write(folder.path().join("log.sqlite"), "").unwrap();
    refused(folder.path(), "was not made by waggle");
    refused(&folder.path().join("log.sqlite"), "cannot make the folder");
}
