use anyhow::anyhow;

use super::*;

#[test]
fn one_failed_step_fails_the_run_and_the_next_step_still_runs() {
    let mut steps = Steps::new(None);
    steps.run("first", "fails", || Err(anyhow!("broken")));
    let mut ran = false;
    steps.run("second", "runs", || {
        ran = true;
        Outcome::passed()
    });
    assert!(ran);
    assert!(!steps.finish());
}

#[test]
fn a_skipped_step_is_no_failure_but_skipping_everything_is_no_success() {
    let mut steps = Steps::new(None);
    steps.run("a", "", || Ok(Outcome::Skipped("no tool".to_owned())));
    assert!(!steps.finish());

    let mut steps = Steps::new(None);
    steps.run("a", "", || Ok(Outcome::Skipped("no tool".to_owned())));
    steps.run("b", "", Outcome::passed);
    assert!(steps.finish());
}

#[test]
fn only_picks_by_name_and_a_name_that_picks_nothing_is_an_error() {
    let mut steps = Steps::new(Some("form".to_owned()));
    let mut ran = Vec::new();
    for name in ["format", "clippy"] {
        steps.run(name, "", || {
            ran.push(name);
            Outcome::passed()
        });
    }
    assert_eq!(ran, ["format"]);
    assert!(steps.finish());
    assert!(!Steps::new(Some("nothing".to_owned())).finish());
}
