//! What a client asks for, every field checked.

use waggle_contracts::{
    api::{DEFAULT_K, MAX_FACETS, MAX_OFFSET, MAX_QUERY_BYTES, SearchBody, SearchOrder},
    retrieval::Sort,
};
use waggle_model::{Person, ids::MAX_ID_BYTES};

use crate::recommend::{checked_k, checked_person};

/// A search whose every field was checked, but for names and expressions that only the catalogue can check.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    pub query: String,
    pub completes: bool,
    pub k: usize,
    pub offset: usize,
    pub category: Option<String>,
    pub filter: Option<String>,
    /// Each once.
    pub facets: Vec<String>,
    pub sort: Option<Sort>,
    pub order: SearchOrder,
    pub highlight: bool,
    pub person: Person,
}

impl Checked {
    /// # Errors
    /// One sentence that names the field and its limit.
    pub fn try_new(body: SearchBody) -> Result<Self, String> {
        let query = body.q.ok_or("q is missing: what is looked for, or an empty text for everything")?;
        if query.len() > MAX_QUERY_BYTES {
            return Err(format!("q has {} bytes, at most {MAX_QUERY_BYTES} are allowed", query.len()));
        }
        let mut facets = body.facets;
        if facets.len() > MAX_FACETS {
            return Err(format!("facets has {} entries, at most {MAX_FACETS} are allowed", facets.len()));
        }
        facets.sort_unstable();
        facets.dedup();
        if body.category.as_ref().is_some_and(|category| category.len() > MAX_ID_BYTES) {
            return Err(format!("category must have at most {MAX_ID_BYTES} bytes"));
        }
        let sort = body.sort.as_deref().map(checked_sort).transpose()?;
        let order = match (body.order, &sort) {
            (None | Some(SearchOrder::Relevance), None) => SearchOrder::Relevance,
            (Some(SearchOrder::Personal), None) => SearchOrder::Personal,
            (None | Some(SearchOrder::Sort), Some(_)) => SearchOrder::Sort,
            (Some(SearchOrder::Sort), None) => {
                return Err("order is sort, but sort does not say by what".into());
            }
            (Some(_), Some(_)) => {
                return Err("order and sort exclude each other: a list has one order".into());
            }
        };
        let person = checked_person(body.user_id, body.session_id).map_err(|e| e.to_string())?;
        if order == SearchOrder::Personal && person == Person::default() {
            return Err("order is personal: user_id or session_id says whose".into());
        }
        Ok(Self {
            query,
            completes: body.prefix.unwrap_or(true),
            k: checked_k(body.k)?.unwrap_or(DEFAULT_K),
            offset: checked_offset(body.offset.unwrap_or(0))?,
            category: body.category,
            filter: body.filter,
            facets,
            sort,
            order,
            highlight: body.highlight.unwrap_or(true),
            person,
        })
    }
}

fn checked_offset(offset: i64) -> Result<usize, String> {
    let allowed = usize::try_from(offset).ok().filter(|offset| *offset <= MAX_OFFSET);
    allowed.ok_or_else(|| format!("offset is {offset}, it must be between 0 and {MAX_OFFSET}"))
}

/// `price:asc`; the name may have colons of its own.
fn checked_sort(text: &str) -> Result<Sort, String> {
    let (property, direction) = text.rsplit_once(':').unwrap_or((text, ""));
    let is_descending = match direction {
        "asc" => false,
        "desc" => true,
        _ => {
            let shown: String = text.chars().take(40).collect();
            return Err(format!(
                "sort is \"{}\", it must be a property and asc or desc, such as price:asc",
                shown.escape_debug()
            ));
        }
    };
    Ok(Sort { property: property.to_owned(), is_descending })
}

#[cfg(test)]
mod tests;
