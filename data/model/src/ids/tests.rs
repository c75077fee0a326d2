use super::*;

#[test]
fn an_id_has_one_to_256_bytes() {
    assert_eq!(ItemId::try_new(""), Err(IdError::Empty { kind: "item_id" }));
    assert_eq!(ItemId::try_new("x").unwrap().as_str(), "x");
    assert_eq!(ItemId::try_new("x".repeat(MAX_ID_BYTES)).unwrap().as_str().len(), MAX_ID_BYTES);
    assert_eq!(UserId::try_new("x".repeat(257)), Err(IdError::TooLong { kind: "user_id", got: 257 }));
}

#[test]
fn the_limit_counts_bytes_and_not_characters() {
    // 64 bees of four bytes each are 256 bytes; one more is too many.
    assert!(ItemId::try_new("🐝".repeat(64)).is_ok());
    assert_eq!(ItemId::try_new("🐝".repeat(65)), Err(IdError::TooLong { kind: "item_id", got: 260 }));
}

#[test]
fn a_control_character_anywhere_is_refused() {
    for id in ["\0", "a\nb", "a\r", "\ta", "a\u{7f}", "a\u{85}b"] {
        assert_eq!(SessionId::try_new(id), Err(IdError::Control { kind: "session_id" }), "{id:?}");
    }
}

#[test]
fn spaces_and_every_other_script_are_part_of_an_id() {
    for id in [" ", "a b", "Ünïcode", "商品-1", "a/b?c=d&e#f", "../../etc/passwd", "%00"] {
        assert_eq!(ItemId::try_new(id).unwrap().as_str(), id);
    }
}

#[test]
fn messages_name_the_field_and_the_number() {
    check_message(ItemId::try_new("").unwrap_err(), "item_id is empty");
    check_message(
        EventId::try_new("x".repeat(300)).unwrap_err(),
        "event_id has 300 bytes, at most 256 are allowed",
    );
    check_message(AnswerId::try_new("\n").unwrap_err(), "answer_id contains a control character");
    check_message(SnapshotVersion::try_new("").unwrap_err(), "snapshot version is empty");
}

#[track_caller]
fn check_message(error: IdError, expected: &str) {
    assert_eq!(error.to_string(), expected);
}

#[test]
fn ids_are_plain_strings_in_json_and_are_checked_on_the_way_in() {
    let id = ItemId::try_new("85123A").unwrap();
    assert_eq!(serde_json::to_string(&id).unwrap(), "\"85123A\"");
    assert_eq!(serde_json::from_str::<ItemId>("\"85123A\"").unwrap(), id);

    let error = serde_json::from_str::<ItemId>("\"\"").unwrap_err();
    assert!(error.to_string().starts_with("item_id is empty"), "{error}");
    assert!(serde_json::from_str::<ItemId>("12").is_err(), "a number is not an id");
    assert!("a\u{1}b".parse::<UserId>().is_err());
    assert_eq!("17850".parse::<UserId>().unwrap().as_str(), "17850");
}

#[test]
fn ids_print_as_themselves_and_debug_with_their_type() {
    let id = UserId::try_new("17850").unwrap();
    assert_eq!(id.to_string(), "17850");
    assert_eq!(format!("{id:?}"), "UserId(\"17850\")");
}

/// The keys are stored: these values were computed by the reference XXH3 (`xxhash` for Python) with the three seeds,
/// and a build that gives others would orphan every state file ever written.
#[test]
fn keys_are_xxh3_of_the_bytes_with_seeds_that_never_change() {
    let item = |id: &str| ItemId::try_new(id).unwrap().key();
    assert_eq!(item("85123A"), ItemKey(0xed94_abcd_b88a_0edf));
    assert_eq!(item("a"), ItemKey(0x5472_081d_7d14_932b));
    assert_eq!(item("ünïcode 🐝"), ItemKey(0x94f1_3f57_79b7_38af));
    assert_eq!(item(&"x".repeat(256)), ItemKey(0xee97_ca36_4502_272b));
    assert_eq!(UserId::try_new("17850").unwrap().key(), PersonKey(0xee02_1a04_142c_d64b));
    assert_eq!(SessionId::try_new("17850").unwrap().key(), PersonKey(0x3a97_bae9_3d15_2e30));
}

#[test]
fn a_user_and_a_session_of_the_same_name_are_two_persons() {
    assert_ne!(UserId::try_new("x").unwrap().key(), SessionId::try_new("x").unwrap().key());
}

#[test]
fn a_row_and_its_index_are_the_same_number() {
    assert_eq!(ItemIdx::from_row(41).row(), 41);
    assert_eq!(ItemIdx::from_row(u32::MAX as usize), ItemIdx(u32::MAX));
}

#[test]
#[should_panic(expected = "fewer than 2^32 rows")]
fn a_row_past_32_bits_is_a_programming_error() {
    let _ = ItemIdx::from_row(u32::MAX as usize + 1);
}
