use super::*;

#[test]
fn a_letter_survives_the_log_byte_for_byte() {
    let original = Bytes::from_static(b"\xff\x00{\"type\":");
    let origin = DeadLetterOrigin::Log { topic: "events".to_owned(), partition: 3, offset: 17 };
    let letter = DeadLetter::new("does not decode", origin, Timestamp::from_millis(5), &original);
    assert!(!letter.is_truncated);
    assert_eq!(DeadLetter::decode(&letter.encode()).unwrap(), letter);
}

#[test]
fn a_long_original_is_cut_and_said_to_be() {
    let original = Bytes::from(vec![7; MAX_DEAD_LETTER_BYTES + 1]);
    let origin = DeadLetterOrigin::Request { index: 0 };
    let letter = DeadLetter::new("too long", origin, Timestamp::from_millis(5), &original);
    assert!(letter.is_truncated);
    assert_eq!(letter.payload.len(), MAX_DEAD_LETTER_BYTES);
}

#[test]
fn a_letter_fits_into_the_log_however_long_reason_and_key_are() {
    let reason = "é".repeat(1 << 20);
    let origin = DeadLetterOrigin::Source {
        topic: "clicks".to_owned(),
        partition: 0,
        offset: 0,
        key: Some(vec![7; 1 << 20].into()),
        timestamp: Timestamp::from_millis(5),
    };
    let original = Bytes::from_static(b"{}");
    let letter = DeadLetter::new(reason, origin, Timestamp::from_millis(5), &original);
    assert!(letter.encode().len() < 10_000);
    assert!(letter.reason.ends_with("é…") && letter.is_truncated);
    assert_eq!(DeadLetter::decode(&letter.encode()).unwrap(), letter);
}

#[test]
fn a_note_and_a_letter_are_told_apart() {
    let note = Retried { at: Timestamp::from_millis(7), letters: vec![(0, 1), (3, u64::MAX)] };
    assert_eq!(DeadLetterRecord::decode(&note.encode()).unwrap(), DeadLetterRecord::Retried(note.clone()));
    assert!(matches!(DeadLetter::decode(&note.encode()), Err(CodecError::Version { got: 2 })));
}
