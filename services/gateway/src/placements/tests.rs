use super::*;

fn configs(json: &str) -> PlacementConfigs {
    serde_json::from_str(json).unwrap()
}

#[test]
fn a_placement_without_a_section_has_the_defaults() {
    let placements = Placements::try_new(configs(r#"{"home": {"policy": {"diversity": 0.5}}}"#)).unwrap();
    let loaded = placements.load();
    assert!((loaded.of(&Placement::Home).policy.diversity - 0.5).abs() < 1e-6);
    assert_eq!(**loaded.of(&Placement::Cart), PlacementConfig::default());
}

#[test]
fn wrong_placements_leave_those_in_force() {
    let placements = Placements::try_new(configs(r#"{"home": {"k": 4}}"#)).unwrap();
    let before = placements.load();
    for (wrong, says) in [
        (r#"{"home": {"k": 0}}"#, "placements.home: k is 0"),
        (r#"{"cart": {"k": 5}, "home": {"policy": {"diversity": 2}}}"#, "placements.home: diversity is 2"),
        (r#"{"cart": {"n_candidates": 0}}"#, "placements.cart: n_candidates is 0"),
        (r#"{"": {}}"#, "1 to 64 bytes"),
    ] {
        let error = placements.replace(configs(wrong)).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
    assert!(Arc::ptr_eq(&before, &placements.load()));
    placements.replace(configs(r#"{"home": {"k": 5}}"#)).unwrap();
    assert_eq!(placements.load().of(&Placement::Home).k, Some(5));
    assert_ne!(placements.load().fingerprint, before.fingerprint);
    placements.replace(configs(r#"{"home": {"k": 4}}"#)).unwrap();
    assert_eq!(
        placements.load().fingerprint,
        before.fingerprint,
        "the same placements are the same everywhere"
    );
}
