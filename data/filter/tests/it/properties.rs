use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Map, Value as Json};
use waggle_filter::{Filter, limits};
use waggle_model::Item;

use crate::strategies::{NOW, expression, item, schema, user};

/// Parses what may be no filter: it gives one, or an error that can be shown.
fn try_parse(text: &str) -> Option<Filter> {
    match Filter::parse(text, &schema()) {
        Ok(filter) => Some(filter),
        Err(error) => {
            let chars = text.chars().count();
            assert!((1..=chars + 1).contains(&error.column), "{text:?}: {error:?}");
            assert!(error.width >= 1, "{text:?}: {error:?}");
            let message = error.to_string();
            assert!(!message.chars().any(char::is_control), "{message:?}");
            assert!(message.chars().count() < 300, "{message:?}");
            let excerpt = error.excerpt(text);
            let (_, carets) = excerpt.split_once('\n').expect("two lines");
            assert!(carets.trim_start().chars().all(|c| c == '^') && carets.ends_with('^'), "{excerpt}");
            None
        }
    }
}

fn parse(text: &str) -> Filter {
    Filter::parse(text, &schema()).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn says(text: &str, user: Option<&Map<String, Json>>, item: &Item) -> bool {
    parse(text).bind(user, NOW).matches(item)
}

fn word() -> impl Strategy<Value = &'static str> {
    select(vec![
        "and", "or", "not", "in", "contains", "any", "starts", "with", "exists", "true", "false", "now",
        "time", "user", "price", "brand", "tags", "hidden", "(", ")", "[", "]", ",", "=", "!=", "<", ">=",
        ".", "..", "-", "+", "'a'", "\"", "'", "`", "\\", "7", "30d", "1e", "AND", "==", "é", "\u{0}", "\n",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_a_filter_or_an_error(text in any::<String>()) {
        try_parse(&text);
    }

    #[test]
    fn any_words_are_a_filter_or_an_error(words in vec(word(), 0..40), glue in select(vec!["", " "])) {
        try_parse(&words.join(glue));
    }

    #[test]
    fn a_damaged_filter_is_a_filter_or_an_error(
        text in expression(),
        damage in vec((any::<prop::sample::Index>(), 0..3, prop_oneof![word().prop_map(str::to_owned), any::<char>().prop_map(String::from)]), 1..4),
    ) {
        let mut letters: Vec<String> = text.chars().map(String::from).collect();
        for (place, kind, with) in damage {
            let place = place.index(letters.len() + 1);
            match kind {
                0 => letters.insert(place, with),
                1 if place < letters.len() => letters[place] = with,
                _ => letters.truncate(place),
            }
        }
        try_parse(&letters.concat());
    }

    #[test]
    fn the_canonical_spelling_is_the_same_filter(text in expression(), item in item(), user in user()) {
        prop_assume!(text.len() <= limits::MAX_BYTES / 4);
        let Some(filter) = try_parse(&text) else { return Err(TestCaseError::reject("too large")) };
        let again = parse(&filter.to_string());
        prop_assert_eq!(&again, &filter);
        prop_assert_eq!(again.to_string(), filter.to_string());
        prop_assert_eq!(
            filter.bind(user.as_ref(), NOW).matches(&item),
            again.bind(user.as_ref(), NOW).matches(&item)
        );
    }

    #[test]
    fn a_filter_says_what_its_parts_say(
        a in expression(),
        b in expression(),
        item in item(),
        user in user(),
    ) {
        prop_assume!(a.len() + b.len() < limits::MAX_BYTES / 4);
        let says = |text: &str| says(text, user.as_ref(), &item);
        let (x, y) = (says(&a), says(&b));
        prop_assert_eq!(says(&format!("({a}) and ({b})")), x && y);
        prop_assert_eq!(says(&format!("({a}) or ({b})")), x || y);
        prop_assert_eq!(says(&format!("not ({a})")), !x);
        prop_assert_eq!(says(&format!("not not ({a})")), x);
        // De Morgan.
        prop_assert_eq!(says(&format!("not (({a}) and ({b}))")), says(&format!("not ({a}) or not ({b})")));
        prop_assert_eq!(says(&format!("not (({a}) or ({b}))")), says(&format!("not ({a}) and not ({b})")));
        // Order and repetition.
        prop_assert_eq!(parse(&format!("({a}) and ({b})")), parse(&format!("({b}) and ({a}) and ({b})")));
        prop_assert_eq!(parse(&format!("({a}) or ({b})")), parse(&format!("({b}) or ({a}) or ({b})")));
    }

    #[test]
    fn what_does_not_use_the_user_is_the_same_for_all(text in expression(), user in user()) {
        prop_assume!(text.len() <= limits::MAX_BYTES / 4);
        let Some(filter) = try_parse(&text) else { return Err(TestCaseError::reject("too large")) };
        let bound = filter.bind(user.as_ref(), NOW);
        if !filter.uses_user() {
            prop_assert_eq!(&bound, &filter.bind(None, NOW));
        }
        if !filter.uses_now() {
            prop_assert_eq!(&bound, &filter.bind(user.as_ref(), NOW.shifted_by_millis(86_400_000_000)));
        }
    }
}

#[test]
fn deep_nesting_is_refused_whatever_it_is_made_of() {
    for part in
        ["(", "not (", "(not ", "hidden and (", "hidden or not (", "exists(", "[", "user.", "-", "((", "(("]
    {
        assert!(try_parse(&part.repeat(limits::MAX_BYTES / part.len())).is_none(), "{part}");
        assert!(try_parse(&part.repeat(100_000)).is_none(), "{part}");
    }
}
