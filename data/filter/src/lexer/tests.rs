use super::{Token::*, *};

#[track_caller]
fn check(text: &str, expected: &[Token<'_>]) {
    let lexed: Vec<_> = lex(text).unwrap().into_iter().map(|lexeme| lexeme.token).collect();
    let (end, tokens) = lexed.split_last().unwrap();
    assert_eq!(*end, End);
    assert_eq!(tokens, expected, "{text}");
}

#[test]
fn a_dot_is_part_of_a_number_only_before_a_digit() {
    check("10..20", &[Number(10.0), Symbol(".."), Number(20.0)]);
    check("1.5..2.5", &[Number(1.5), Symbol(".."), Number(2.5)]);
    check("1.", &[Number(1.0), Symbol(".")]);
    check(
        "user.a..user.b",
        &[Word("user"), Symbol("."), Word("a"), Symbol(".."), Word("user"), Symbol("."), Word("b")],
    );
}

#[test]
fn numbers_may_have_exponents_and_spans_units() {
    check("1e3 2.5E-1 7e+0", &[Number(1000.0), Number(0.25), Number(7.0)]);
    check(
        "90s 1m 2h 30d 1w",
        &[
            Span { millis: 90_000 },
            Span { millis: 60_000 },
            Span { millis: 7_200_000 },
            Span { millis: 2_592_000_000 },
            Span { millis: 604_800_000 },
        ],
    );
    check(
        "now-30d..now",
        &[Word("now"), Symbol("-"), Span { millis: 2_592_000_000 }, Symbol(".."), Word("now")],
    );
}

#[test]
fn strings_have_either_quotes_and_escapes() {
    check(r#""it's" 'say "so"'"#, &[Text("it's".to_owned()), Text("say \"so\"".to_owned())]);
    check(r#""a\"b\\c\n\t\r\'""#, &[Text("a\"b\\c\n\t\r'".to_owned())]);
    check("\"\" ''", &[Text(String::new()), Text(String::new())]);
    check("'Gärten 🌻'", &[Text("Gärten 🌻".to_owned())]);
}

#[test]
fn names_may_be_of_any_letters_and_in_backquotes_of_anything() {
    check("größe _a a1", &[Word("größe"), Word("_a"), Word("a1")]);
    check(
        "`a b` `and` `x``y` ``",
        &[
            Quoted("a b".to_owned()),
            Quoted("and".to_owned()),
            Quoted("x`y".to_owned()),
            Quoted(String::new()),
        ],
    );
}

#[test]
fn space_separates_and_means_nothing() {
    check(" \t\n\u{a0}a=1\r\n", &[Word("a"), Symbol("="), Number(1.0)]);
    check("", &[]);
}

#[test]
fn places_are_bytes_of_the_text() {
    let lexemes = lex("ä = 'ö'").unwrap();
    let spans: Vec<_> = lexemes.into_iter().map(|lexeme| lexeme.span).collect();
    assert_eq!(spans, [0..2, 3..4, 5..9, 9..9]);
}
