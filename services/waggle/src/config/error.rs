//! What is wrong with a configuration, in the words of whoever wrote it.

use figment::error::Kind;

use super::VARIABLES;
use crate::secret::masked;

/// One line for each mistake: where it is, the key as it is written there, and what is wrong. A value that may be a
/// secret is not repeated.
pub(super) fn explained(errors: &figment::Error) -> anyhow::Error {
    let lines: Vec<String> = errors.clone().into_iter().map(|error| line(&error)).collect();
    anyhow::anyhow!("the configuration is not valid: {}", lines.join("; "))
}

fn line(error: &figment::Error) -> String {
    let key = error.path.join(".");
    let is_variable = error.metadata.as_ref().is_some_and(|metadata| metadata.name.contains("environment"));
    let place = if key.is_empty() {
        source(error)
    } else if is_variable {
        format!("variable {VARIABLES}{}", error.path.join("__").to_uppercase())
    } else {
        format!("{}{key}", source(error))
    };
    let mistake = match &error.kind {
        Kind::UnknownField(_, known) => {
            format!("there is no such setting; there are {}", known.join(", "))
        }
        kind if is_secret(&key) => without_value(kind),
        kind => masked(&kind.to_string()),
    };
    format!("{place}: {mistake}")
}

/// The file with a colon, where there is one.
fn source(error: &figment::Error) -> String {
    let file = error.metadata.as_ref().and_then(|metadata| metadata.source.as_ref()?.file_path());
    file.map_or_else(String::new, |path| format!("{}: ", path.display()))
}

fn is_secret(key: &str) -> bool {
    ["password", "secret", "access_key", "url", "token"].iter().any(|word| key.contains(word))
}

fn without_value(kind: &Kind) -> String {
    match kind {
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
            format!("the value is not {expected} (a text of digits needs quotes)")
        }
        other => masked(&other.to_string()),
    }
}
