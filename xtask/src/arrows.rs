//! Arrows point one way: who may depend on whom, as ARCHITECTURE.md draws it.
//!
//! Tests may reach further than the code they test, so dev-dependencies are not looked at.

use anyhow::{Context, Result};
use serde_json::Value;

/// Each crate of the workspace and the crates of the workspace it may depend on. `*` stands for all.
const ALLOWED: &[(&str, &[&str])] = &[
    ("waggle-model", &[]),
    ("waggle-features", &["waggle-model"]),
    ("waggle-filter", &["waggle-model"]),
    ("waggle-simulator", &["waggle-model"]),
    ("waggle-datasets", &["waggle-model"]),
    ("waggle-stores", &["waggle-model"]),
    ("waggle-models", &["waggle-model", "waggle-features"]),
    ("waggle-evaluation", &["waggle-model", "waggle-models"]),
    (
        "waggle-jobs",
        &[
            "waggle-model",
            "waggle-features",
            "waggle-models",
            "waggle-evaluation",
            "waggle-stores",
            "waggle-datasets",
        ],
    ),
    ("waggle-contracts", &["waggle-model", "waggle-features"]),
    ("waggle-http", &[]),
    ("waggle-ingest-role", ROLE),
    ("waggle-features-role", ROLE),
    (
        "waggle-gateway-role",
        &[
            "waggle-model",
            "waggle-features",
            "waggle-filter",
            "waggle-stores",
            "waggle-contracts",
            "waggle-http",
        ],
    ),
    ("waggle-retrieval-role", ROLE_WITH_MODELS),
    ("waggle-ranking-role", ROLE_WITH_MODELS),
    // A client of the public API like any customer.
    ("waggle-web-role", &["waggle-model", "waggle-contracts", "waggle-http"]),
    ("waggle", &["*"]),
    // Both drive the binary from outside and import no role of it. The load generator replays what shoppers did.
    ("load-tests", &["waggle-model", "waggle-datasets", "waggle-simulator"]),
    ("powercut", &[]),
    ("powercut-layer", &["powercut"]),
    ("xtask", &["powercut"]),
];

const ROLE: &[&str] =
    &["waggle-model", "waggle-features", "waggle-stores", "waggle-contracts", "waggle-http"];
const ROLE_WITH_MODELS: &[&str] = &[
    "waggle-model",
    "waggle-features",
    "waggle-filter",
    "waggle-models",
    "waggle-stores",
    "waggle-contracts",
    "waggle-http",
];

/// External crates that only some of ours may name: the adapters live in one crate, and what is pure stays pure.
const CONFINED: [(&[&str], &[&str]); 3] = [
    (&["sqlx", "object_store", "rdkafka", "deadpool-redis", "redis"], &["waggle-stores"]),
    (
        &["actix-web"],
        &[
            "waggle-http",
            "waggle-ingest-role",
            "waggle-features-role",
            "waggle-retrieval-role",
            "waggle-ranking-role",
            "waggle-gateway-role",
            "waggle-web-role",
            // Puts the roles' routes on one listener.
            "waggle",
        ],
    ),
    (
        &["tokio", "reqwest"],
        &[
            "waggle-stores",
            "waggle-datasets",
            "waggle-jobs",
            "waggle-contracts",
            "waggle-http",
            "waggle-ingest-role",
            "waggle-features-role",
            "waggle-retrieval-role",
            "waggle-ranking-role",
            "waggle-gateway-role",
            "waggle-web-role",
            "waggle",
            "xtask",
        ],
    ),
];

/// One sentence per dependency that points the wrong way.
///
/// - `metadata`: what `cargo metadata --no-deps` prints
pub(crate) fn violations(metadata: &Value) -> Result<Vec<String>> {
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let ours: Vec<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().context("a package has no name")?;
        let Some((_, allowed)) = ALLOWED.iter().find(|(of, _)| *of == name) else {
            wrong.push(format!("{name} is not drawn yet: say in xtask/src/arrows.rs what it may know"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let Some(on) = dependency["name"].as_str() else { continue };
            if dependency["kind"] == "dev" {
                continue;
            }
            if ours.contains(&on) && !allowed.contains(&on) && !allowed.contains(&"*") {
                wrong.push(format!("{name} must not depend on {on}"));
            }
            for (confined, to) in CONFINED {
                if confined.contains(&on) && !to.contains(&name) {
                    wrong.push(format!("{name} must not depend on {on}, which belongs to {}", to.join(", ")));
                }
            }
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Value {
        let dependencies: Vec<_> =
            dependencies.iter().map(|(name, kind)| json!({"name": name, "kind": kind})).collect();
        json!({"name": name, "dependencies": dependencies})
    }

    #[track_caller]
    fn check(packages: &[Value], expected: &[&str]) {
        assert_eq!(violations(&json!({ "packages": packages })).unwrap(), expected);
    }

    #[test]
    fn an_arrow_along_the_drawing_is_fine() {
        check(
            &[
                package("waggle-model", &[("serde", None)]),
                package("waggle-features", &[("waggle-model", None)]),
                package("waggle-stores", &[("waggle-model", None), ("sqlx", None)]),
            ],
            &[],
        );
    }

    #[test]
    fn an_arrow_against_the_drawing_is_named() {
        check(
            &[
                package("waggle-model", &[("waggle-features", None)]),
                package("waggle-features", &[("waggle-model", None), ("tokio", Some("dev"))]),
                package("waggle-gateway-role", &[("waggle-ranking-role", None)]),
                package("waggle-ranking-role", &[]),
            ],
            &[
                "waggle-model must not depend on waggle-features",
                "waggle-gateway-role must not depend on waggle-ranking-role",
            ],
        );
    }

    #[test]
    fn storage_belongs_to_the_one_adapter_crate() {
        check(
            &[package("waggle-gateway-role", &[("sqlx", None)])],
            &["waggle-gateway-role must not depend on sqlx, which belongs to waggle-stores"],
        );
    }

    #[test]
    fn a_crate_nobody_has_drawn_is_named() {
        check(
            &[package("waggle-new", &[])],
            &["waggle-new is not drawn yet: say in xtask/src/arrows.rs what it may know"],
        );
    }

    #[test]
    fn every_crate_of_the_drawing_points_at_crates_of_the_drawing() {
        let names: Vec<_> = ALLOWED.iter().map(|(name, _)| *name).collect();
        for (name, allowed) in ALLOWED {
            for on in allowed.iter().filter(|on| **on != "*") {
                assert!(names.contains(on), "{name} may depend on {on}, which is not drawn");
            }
        }
    }
}
