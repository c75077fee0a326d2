//! Categories from titles: the shop publishes none, and a storefront needs some.
//!
//! 1. A title becomes its *things*: singular words without colours, sizes, materials and counts. A word of a department also
//!    gives the department's own term (`bracelet` → Jewellery); motifs (`heart`, `paisley`) count little.
//! 2. Tf-idf by linfa-preprocessing. Its vocabulary is fixed beforehand, in alphabetical order: left to itself it orders the
//!    columns by a randomly seeded hash map, and floating-point sums would differ from run to run.
//! 3. k-means by linfa-clustering on rows of unit length: there `‖a − b‖² = 2 − 2·cos(a, b)`. It starts from the mean of
//!    each department's titles (seeded k-means: Basu, Banerjee, Mooney, "Semi-supervised clustering by seeding", ICML 2002),
//!    and from k-means++ clusters of the titles that no department knows. From there on titles move freely.
//! 4. A cluster keeps its department's name while that covers it; else the words or word pairs that cover it and are rare
//!    elsewhere name it.

use std::collections::{BTreeMap, BTreeSet};

use linfa::{
    DatasetBase,
    traits::{Fit, Predict},
};
use linfa_clustering::{KMeans, KMeansInit};
use linfa_preprocessing::tf_idf_vectorization::TfIdfVectorizer;
use ndarray::{Array1, Array2, Axis};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::words;
use crate::DatasetError;

/// Clusters sought among the titles that no department knows.
const N_FREE_CLUSTERS: usize = 8;
const SEED: u64 = 20_101_201;
const N_RUNS: usize = 3;
const MAX_ITERATIONS: u64 = 30;
/// A word in fewer titles makes no category.
const MIN_TITLES: usize = 5;
/// A motif's share of a thing's weight.
const MOTIF_WEIGHT: f32 = 0.25;
/// A department's term beside the title's own words.
const FAMILY_WEIGHT: f32 = 1.5;
/// A smaller cluster beside the departments is no shelf of its own.
const MIN_FREE_TITLES: usize = 15;
/// A cluster that no word covers this far is not about one thing.
const MIN_COVERAGE: f64 = 0.35;
const ELSE: &str = "Everything Else";

/// One category per title, in their order. The same titles give the same categories.
pub(super) fn derive(titles: &[&str]) -> Result<Vec<String>, DatasetError> {
    let things: Vec<Vec<String>> = titles.iter().map(|title| things(title)).collect();
    let vocabulary = vocabulary(&things);
    if vocabulary.is_empty() {
        return Ok(vec![ELSE.to_owned(); titles.len()]);
    }
    let rows = unit_tf_idf(&things, &vocabulary).map_err(|detail| DatasetError::Categories { detail })?;
    // A title without any known word is a null row: it has no direction and belongs nowhere.
    let placed: Vec<usize> = (0..titles.len()).filter(|&i| rows.row(i).iter().any(|&x| x > 0.0)).collect();
    let observations = rows.select(Axis(0), &placed);
    let departments: Vec<Option<usize>> = placed.iter().map(|&i| department(&things[i])).collect();
    let clusters =
        cluster(observations, &departments).map_err(|detail| DatasetError::Categories { detail })?;

    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (&title, &cluster) in placed.iter().zip(&clusters) {
        members.entry(cluster).or_default().push(title);
    }
    let names = name_clusters(&members, &things);
    let mut categories = vec![ELSE.to_owned(); titles.len()];
    for (cluster, titles) in &members {
        for &title in titles {
            categories[title].clone_from(&names[cluster]);
        }
    }
    Ok(categories)
}

/// The singular things a title is about, in order.
fn things(title: &str) -> Vec<String> {
    let lower = title.to_lowercase().replace("t-light", "tealight").replace('\'', "");
    lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.len() > 2 && !word.starts_with(|c: char| c.is_ascii_digit()))
        .map(singular)
        .map(|word| {
            words::SAME.iter().find(|(from, _)| *from == word).map_or(word, |(_, to)| (*to).to_owned())
        })
        .filter(|word| !words::QUALITIES.contains(&word.as_str()))
        .collect()
}

fn singular(word: &str) -> String {
    if let Some((_, one)) = words::PLURALS.iter().find(|(many, _)| *many == word) {
        (*one).to_owned()
    } else if let Some(stem) = word.strip_suffix("ies").filter(|stem| stem.len() > 2) {
        format!("{stem}y")
    } else if let Some(stem) = ["ses", "xes", "ches", "shes"].iter().find(|end| word.ends_with(**end)) {
        // "cases" and "roses" lose one letter, "glasses" and "boxes" two.
        let keep = if *stem == "ses" && !word.ends_with("sses") { 1 } else { 2 };
        word[..word.len() - keep].to_owned()
    } else if word.ends_with('s') && !word.ends_with("ss") && !word.ends_with("us") && word.len() > 3 {
        word[..word.len() - 1].to_owned()
    } else {
        word.to_owned()
    }
}

/// The department of the last of a title's things that has one: English puts the head of a name last.
fn department(things: &[String]) -> Option<usize> {
    things.iter().rev().find_map(|word| words::family(word))
}

/// The terms of a title: its things, then the departments of each.
fn terms(things: &[String]) -> impl Iterator<Item = String> {
    things.iter().cloned().chain(things.iter().filter_map(|word| words::family(word)).map(family_term))
}

/// No title holds such a word.
fn family_term(family: usize) -> String {
    format!("family{family:02}")
}

/// The terms of enough titles, alphabetical.
fn vocabulary(things: &[Vec<String>]) -> Vec<String> {
    let mut titles_with: BTreeMap<String, usize> = BTreeMap::new();
    for title in things {
        for word in terms(title).collect::<BTreeSet<_>>() {
            *titles_with.entry(word).or_default() += 1;
        }
    }
    let min_titles = MIN_TITLES.min(things.len().div_ceil(20));
    titles_with.into_iter().filter(|&(_, n)| n >= min_titles).map(|(word, _)| word).collect()
}

/// Rows of unit length, `[n_titles, n_words]`; null where no word is known.
fn unit_tf_idf(things: &[Vec<String>], vocabulary: &[String]) -> Result<Array2<f32>, String> {
    let texts: Array1<String> =
        things.iter().map(|title| terms(title).collect::<Vec<_>>().join(" ")).collect();
    let vectorizer = TfIdfVectorizer::default().fit_vocabulary(vocabulary).map_err(|e| e.to_string())?;
    let sparse = vectorizer.transform(&texts).map_err(|e| e.to_string())?;
    let weights: Vec<f32> = vectorizer
        .vocabulary()
        .iter()
        .map(|word| match word.as_str() {
            word if words::MOTIFS.contains(&word) => MOTIF_WEIGHT,
            word if word.starts_with("family") => FAMILY_WEIGHT,
            _ => 1.0,
        })
        .collect();
    let mut rows = Array2::zeros((things.len(), vocabulary.len()));
    for (value, (row, column)) in &sparse {
        rows[[row, column]] = *value as f32 * weights[column];
    }
    for mut row in rows.rows_mut() {
        let norm = row.dot(&row).sqrt();
        if norm > 0.0 {
            row /= norm;
        }
    }
    Ok(rows)
}

/// The cluster of each row; clusters `0..FAMILIES.len()` that have titles began as that department.
fn cluster(observations: Array2<f32>, departments: &[Option<usize>]) -> Result<Vec<usize>, String> {
    let members_of =
        |department| (0..departments.len()).filter(|&i| departments[i] == department).collect::<Vec<_>>();
    let n_families = words::FAMILIES.len();
    let mut ids = Vec::new();
    let mut seeds = Vec::new();
    for family in 0..n_families {
        if let Some(mean) = observations.select(Axis(0), &members_of(Some(family))).mean_axis(Axis(0)) {
            ids.push(family);
            seeds.push(mean);
        }
    }
    let unknown = observations.select(Axis(0), &members_of(None));
    if unknown.nrows() > 0 {
        let n_clusters = N_FREE_CLUSTERS.min(unknown.nrows().div_ceil(8));
        let (free, _) = k_means(&DatasetBase::from(unknown), KMeansInit::KMeansPlusPlus, n_clusters, N_RUNS)?;
        for (centroid, i) in free.rows().into_iter().zip(0..) {
            ids.push(n_families + i);
            seeds.push(centroid.to_owned());
        }
    }
    let views: Vec<_> = seeds.iter().map(|seed| seed.view()).collect();
    let seeds = ndarray::stack(Axis(0), &views).map_err(|e| e.to_string())?;
    let data = DatasetBase::from(observations);
    let (_, clusters) = k_means(&data, KMeansInit::Precomputed(seeds), ids.len(), 1)?;
    Ok(clusters.into_iter().map(|cluster| ids[cluster]).collect())
}

/// The centroids and each row's cluster.
fn k_means(
    data: &DatasetBase<Array2<f32>, Array1<()>>,
    init: KMeansInit<f32>,
    n_clusters: usize,
    n_runs: usize,
) -> Result<(Array2<f32>, Vec<usize>), String> {
    let model = KMeans::params_with_rng(n_clusters, ChaCha8Rng::seed_from_u64(SEED))
        .init_method(init)
        .n_runs(n_runs)
        .max_n_iterations(MAX_ITERATIONS)
        .tolerance(1e-3)
        .fit(data)
        .map_err(|e| e.to_string())?;
    Ok((model.centroids().clone(), model.predict(data.records()).to_vec()))
}

/// A name for each cluster; clusters that no word covers share [`ELSE`], as do those whose name is taken by a larger one
/// and that have no second word.
fn name_clusters(members: &BTreeMap<usize, Vec<usize>>, things: &[Vec<String>]) -> BTreeMap<usize, String> {
    let everywhere = counts(things.iter());
    let n_all = things.len() as f64;
    let mut largest_first: Vec<usize> = members.keys().copied().collect();
    largest_first.sort_by_key(|cluster| (std::cmp::Reverse(members[cluster].len()), *cluster));
    let mut taken = BTreeSet::new();
    let mut names = BTreeMap::new();
    for cluster in largest_first {
        let n = members[&cluster].len() as f64;
        if let Some((name, kinds)) = words::FAMILIES.get(cluster) {
            let of_department =
                |&&title: &&usize| things[title].iter().any(|word| kinds.contains(&word.as_str()));
            if members[&cluster].iter().filter(of_department).count() as f64 >= MIN_COVERAGE * n {
                taken.insert((*name).to_owned());
                names.insert(cluster, (*name).to_owned());
                continue;
            }
        }
        let inside = counts(members[&cluster].iter().map(|&title| &things[title]));
        let mut candidates: Vec<(f64, f64, &String)> = inside
            .iter()
            .map(|(phrase, &count)| {
                let coverage = f64::from(count) / n;
                let lift = coverage / (f64::from(everywhere[phrase]) / n_all);
                // A pair says more than either of its words: "gift bag".
                let says_more = if phrase.contains(' ') { 1.35 } else { 1.0 };
                (coverage * lift.ln().max(0.0) * says_more, coverage, phrase)
            })
            .collect();
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.2.cmp(b.2)));
        let is_too_small = members[&cluster].len() < MIN_FREE_TITLES.min(things.len() / 20);
        let name = spell(&candidates, &taken).filter(|_| !is_too_small).unwrap_or_else(|| ELSE.to_owned());
        taken.insert(name.clone());
        names.insert(cluster, name);
    }
    names
}

/// How many titles hold each word or pair of neighbours. Motifs name nothing by themselves.
fn counts<'a>(titles: impl Iterator<Item = &'a Vec<String>>) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for title in titles {
        let is_thing = |word: &str| !words::MOTIFS.contains(&word);
        let mut phrases: BTreeSet<String> = title.iter().filter(|word| is_thing(word)).cloned().collect();
        phrases.extend(
            title
                .windows(2)
                .filter(|pair| is_thing(&pair[0]) && is_thing(&pair[1]))
                .map(|pair| pair.join(" ")),
        );
        for phrase in phrases {
            *counts.entry(phrase).or_default() += 1;
        }
    }
    counts
}

/// The best phrase, and a second one beside it where that still covers a good part of the cluster.
fn spell(candidates: &[(f64, f64, &String)], taken: &BTreeSet<String>) -> Option<String> {
    let (_, coverage, first) = candidates.first()?;
    if *coverage < MIN_COVERAGE {
        return None;
    }
    let title = pleasant(first);
    let shares_a_word = |phrase: &str| phrase.split(' ').any(|w| first.split(' ').any(|f| f == w));
    let second =
        candidates.iter().skip(1).find(|(_, coverage, phrase)| *coverage >= 0.2 && !shares_a_word(phrase));
    let both = second.map(|(_, _, phrase)| format!("{title} & {}", pleasant(phrase)));
    match both {
        Some(both) if !taken.contains(&both) => Some(both),
        _ => (!taken.contains(&title)).then_some(title),
    }
}

/// `"gift bag"` as `"Gift Bags"`.
fn pleasant(phrase: &str) -> String {
    let mut words: Vec<String> = phrase
        .split(' ')
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
        })
        .collect();
    if let Some(last) = words.last_mut() {
        *last = plural(last);
    }
    words.join(" ")
}

fn plural(word: &str) -> String {
    let lower = word.to_lowercase();
    if words::UNCOUNTED.contains(&lower.as_str()) {
        word.to_owned()
    } else if let Some((many, _)) = words::PLURALS.iter().find(|(_, one)| *one == lower) {
        format!("{}{}", &word[..1], &many[1..])
    } else if lower.ends_with('y')
        && !lower.ends_with("ay")
        && !lower.ends_with("ey")
        && !lower.ends_with("oy")
    {
        format!("{}ies", &word[..word.len() - 1])
    } else if ["s", "x", "ch", "sh"].iter().any(|end| lower.ends_with(end)) {
        format!("{word}es")
    } else {
        format!("{word}s")
    }
}
