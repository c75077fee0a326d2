use super::*;

fn body() -> SearchBody {
    SearchBody { q: Some("lamp".to_owned()), ..SearchBody::default() }
}

#[track_caller]
fn check(body: SearchBody, expected: &str) {
    assert_eq!(Checked::try_new(body).unwrap_err(), expected);
}

#[test]
fn ten_items_by_relevance_with_the_found_words_are_the_default() {
    let checked = Checked::try_new(body()).unwrap();
    assert_eq!((checked.k, checked.offset, checked.order), (10, 0, SearchOrder::Relevance));
    assert!(checked.completes && checked.highlight);
}

#[test]
fn a_refusal_names_the_field_and_its_limit() {
    check(SearchBody::default(), "q is missing: what is looked for, or an empty text for everything");
    check(SearchBody { q: Some("é".repeat(257)), ..body() }, "q has 514 bytes, at most 512 are allowed");
    check(SearchBody { k: Some(0), ..body() }, "k is 0, it must be between 1 and 200");
    check(SearchBody { k: Some(201), ..body() }, "k is 201, it must be between 1 and 200");
    check(SearchBody { offset: Some(-1), ..body() }, "offset is -1, it must be between 0 and 10000");
    check(SearchBody { offset: Some(10_001), ..body() }, "offset is 10001, it must be between 0 and 10000");
    let many = (0..17).map(|n| n.to_string()).collect();
    check(SearchBody { facets: many, ..body() }, "facets has 17 entries, at most 16 are allowed");
    check(SearchBody { category: Some("c".repeat(257)), ..body() }, "category must have at most 256 bytes");
    check(
        SearchBody { sort: Some("price\n".to_owned()), ..body() },
        "sort is \"price\\n\", it must be a property and asc or desc, such as price:asc",
    );
    check(SearchBody { user_id: Some(String::new()), ..body() }, "user_id is empty");
}

#[test]
fn a_list_has_one_order() {
    let sort = Some("size:EU:desc".to_owned());
    let checked = Checked::try_new(SearchBody { sort: sort.clone(), ..body() }).unwrap();
    let expected = Sort { property: "size:EU".to_owned(), is_descending: true };
    assert_eq!((checked.order, checked.sort), (SearchOrder::Sort, Some(expected)));
    check(
        SearchBody { sort, order: Some(SearchOrder::Personal), ..body() },
        "order and sort exclude each other: a list has one order",
    );
    check(
        SearchBody { order: Some(SearchOrder::Sort), ..body() },
        "order is sort, but sort does not say by what",
    );
    check(
        SearchBody { order: Some(SearchOrder::Personal), ..body() },
        "order is personal: user_id or session_id says whose",
    );
}
