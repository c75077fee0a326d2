//! Texts that must not show.

/// The text with `***` for the password of every URL in it.
///
/// A password ends at the last `@` before the next blank or quote: one that holds an unescaped `/` is masked, too.
pub(crate) fn masked(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find("://") {
        let (before, after) = rest.split_at(place + 3);
        shown.push_str(before);
        let end =
            after.find(|c: char| c.is_whitespace() || matches!(c, '"' | '`' | '\'')).unwrap_or(after.len());
        let url = &after[..end];
        match url.rsplit_once('@').map(|(who, place)| (who.split_once(':'), who, place)) {
            Some((Some((name, _)), _, place)) => shown.push_str(&format!("{name}:***@{place}")),
            Some((None, who, place)) => shown.push_str(&format!("{who}@{place}")),
            None => shown.push_str(url),
        }
        rest = &after[end..];
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(masked(text), expected);
    }

    #[test]
    fn passwords_in_urls_are_masked_wherever_they_stand() {
        check("postgres://waggle:s3cret@db/waggle", "postgres://waggle:***@db/waggle");
        check(
            "redis://:s3cret@cache:6379/0 and postgres://w:p@db",
            "redis://:***@cache:6379/0 and postgres://w:***@db",
        );
        check(
            "found string \"redis://u:a/b@c@cache\", expected u16",
            "found string \"redis://u:***@cache\", expected u16",
        );
        check("postgres://waggle@db/waggle", "postgres://waggle@db/waggle");
        check("http://127.0.0.1:8080/v1 is no secret", "http://127.0.0.1:8080/v1 is no secret");
        check("nothing: here", "nothing: here");
    }
}
