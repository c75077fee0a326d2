use proptest::prelude::*;

use super::*;

fn parsed(id: &str) -> Option<Placement> {
    AnswerId::try_new(id).unwrap().placement()
}

#[test]
fn a_minted_id_is_digits_that_sort_by_time_and_the_placement() {
    let id = |millis| AnswerId::mint(Timestamp::from_millis(millis), 0xabc, &Placement::ItemPage);
    assert_eq!(id(0x18f).as_str(), "00000000018f00000000000000000abc~item_page");
    assert!(id(0x18f) < id(0x190));
}

#[test]
fn a_name_that_does_not_fit_is_left_out() {
    let long = Placement::Custom("x".repeat(MAX_PLACEMENT_BYTES + 1));
    for placement in [long, Placement::Custom(String::new()), Placement::Custom("a\nb".to_owned())] {
        let id = AnswerId::mint(Timestamp::from_millis(1), 2, &placement);
        assert_eq!((id.as_str().len(), id.placement()), (32, None));
    }
}

#[test]
fn ids_of_another_form_name_no_placement() {
    let digits = "0".repeat(32);
    for id in ["a", "a~home", &digits, &format!("{digits}~"), &format!("{}~home", "G".repeat(32))] {
        assert_eq!(parsed(id), None, "{id}");
    }
    assert_eq!(parsed(&format!("{digits}~{}", "x".repeat(65))), None);
    assert_eq!(parsed(&format!("{digits}~home")), Some(Placement::Home));
}

proptest! {
    #[test]
    fn what_is_minted_is_read_back(time in any::<i64>(), random in any::<u128>(), name in "[^\\p{Cc}]{1,16}") {
        let placement = Placement::from(name);
        let id = AnswerId::mint(Timestamp::from_millis(time), random, &placement);
        prop_assert_eq!(id.placement(), Some(placement));
    }
}
