//! `/v1/items` and `/v1/categories`: the catalogue. A write is acknowledged when it is in the log *and* in the database,
//! so a read that follows it sees it.

use std::time::Duration;

use actix_web::{
    HttpResponse,
    web::{Bytes, Data, Json, Path, Query},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::IntoParams;
use waggle_contracts::api::{
    CatalogReport, CategoryCount, CategoryList, ItemBatch, ItemBody, ItemPage, ItemPatch, Rejection,
};
use waggle_http::{
    ApiError, Kind, Object, Problem,
    problem::responses::{BadBody, Broken, Conflict, Invalid, NotFound},
};
use waggle_model::{CatalogChange, Item, ItemId};

use super::query::number;
use crate::{
    App,
    error::{invalid, not_found, of_database, of_role},
};

/// Most items of one page of the list.
const MAX_PAGE: usize = 500;
/// Most items of one batch.
const MAX_BATCH: usize = 5_000;
/// How long a write waits for the database to catch up with the log.
const PROJECTION: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only items of this category.
    category: Option<String>,
    /// The last page's `next_after`.
    #[param(value_type = Option<ItemId>)]
    after: Option<String>,
    /// Most items of the page.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500, default = 50)]
    limit: Option<String>,
}

/// The catalogue by id, page by page.
#[utoipa::path(
    get, path = "/v1/items", tag = "catalogue", operation_id = "list_items",
    params(ListQuery),
    responses((status = 200, description = "One page.", body = ItemPage), Invalid, Broken),
)]
pub(super) async fn list(app: Data<App>, query: Query<ListQuery>) -> Result<Json<ItemPage>, ApiError> {
    let ListQuery { category, after, limit } = query.into_inner();
    let limit = number("limit", limit.as_deref())?.unwrap_or(50);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(invalid(format!("limit is {limit}, it must be between 1 and {MAX_PAGE}")));
    }
    let after = after.map(ItemId::try_new).transpose().map_err(invalid)?;
    // One more than asked for tells whether there is another page.
    let mut items =
        app.database.list_items(category.as_deref(), after.as_ref(), limit + 1).await.map_err(of_database)?;
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next_after = items.last().filter(|_| has_more).map(|item| item.item_id.clone());
    Ok(Json(ItemPage { items, next_after }))
}

/// The categories of the items on offer, largest first.
#[utoipa::path(
    get, path = "/v1/categories", tag = "catalogue",
    responses((status = 200, description = "Each with its number of items.", body = CategoryList), Broken),
)]
pub(super) async fn categories(app: Data<App>) -> Result<Json<CategoryList>, ApiError> {
    let categories = app.database.categories().await.map_err(of_database)?;
    let categories =
        categories.into_iter().map(|(category, n_items)| CategoryCount { category, n_items }).collect();
    Ok(Json(CategoryList { categories }))
}

/// One item.
#[utoipa::path(
    get, path = "/v1/items/{id}", tag = "catalogue", operation_id = "item",
    params(("id" = ItemId, Path, description = "The item.")),
    responses((status = 200, description = "The item.", body = Item), Invalid, NotFound, Broken),
)]
pub(super) async fn get(app: Data<App>, id: Path<String>) -> Result<Json<Item>, ApiError> {
    existing(&app, &item_id(&id)?).await.map(Json)
}

/// Adds or replaces an item; it is in lists within a second.
///
/// 409 for an id whose 64-bit key is another item's.
#[utoipa::path(
    put, path = "/v1/items/{id}", tag = "catalogue", operation_id = "put_item",
    params(("id" = ItemId, Path, description = "The item.")),
    request_body(content = ItemBody, example = json!({
        "title": "White hanging heart T-light holder", "category": "Candles", "price": 2.55, "currency": "GBP",
        "available_from": "2026-01-31T12:00:00Z", "properties": {"colour": "white", "margin": 0.4},
    })),
    responses(
        (status = 200, description = "The item as it is now.", body = Item),
        BadBody, Conflict, Broken,
    ),
)]
pub(super) async fn put(
    app: Data<App>,
    id: Path<String>,
    body: Json<Object<ItemBody>>,
) -> Result<Json<Item>, ApiError> {
    let item = replaced(item_id(&id)?, body.into_inner().0).map_err(invalid)?;
    app.catalog.check(&item.properties).map_err(invalid)?;
    let _lock = app.item_locks.lock([&item.item_id]).await;
    write_one(&app, CatalogChange::Put(item.clone())).await?;
    Ok(Json(item))
}

/// Changes fields of an item (a JSON merge patch, RFC 7396).
///
/// Of the properties only those that it names have to fit what is declared, so that an item from before the declaration
/// can be changed without being mended first.
#[utoipa::path(
    patch, path = "/v1/items/{id}", tag = "catalogue", operation_id = "patch_item",
    params(("id" = ItemId, Path, description = "The item.")),
    request_body(content(
        (ItemPatch = "application/json", example = json!({"in_stock": false, "properties": {"margin": null}})),
        (ItemPatch = "application/merge-patch+json", example = json!({"price": 2.95})),
    )),
    responses(
        (status = 200, description = "The item as it is now.", body = Item),
        BadBody, NotFound, Conflict, Broken,
    ),
)]
pub(super) async fn patch(
    app: Data<App>,
    id: Path<String>,
    patch: Json<Map<String, Value>>,
) -> Result<Json<Item>, ApiError> {
    let (item_id, patch) = (item_id(&id)?, patch.into_inner());
    let named: Vec<String> =
        patch.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys).cloned().collect();
    let _lock = app.item_locks.lock([&item_id]).await;
    let item = patched(&existing(&app, &item_id).await?, patch)?;
    let touched = named.into_iter().filter_map(|name| item.properties.get_key_value(&name));
    let touched = touched.map(|(name, value)| (name.clone(), value.clone())).collect();
    app.catalog.check(&touched).map_err(invalid)?;
    write_one(&app, CatalogChange::Put(item.clone())).await?;
    Ok(Json(item))
}

/// Removes an item. What people did with it stays.
#[utoipa::path(
    delete, path = "/v1/items/{id}", tag = "catalogue", operation_id = "delete_item",
    params(("id" = ItemId, Path, description = "The item.")),
    responses((status = 204, description = "It is gone."), Invalid, NotFound, Broken),
)]
pub(super) async fn delete(app: Data<App>, id: Path<String>) -> Result<HttpResponse, ApiError> {
    let item_id = item_id(&id)?;
    let _lock = app.item_locks.lock([&item_id]).await;
    existing(&app, &item_id).await?;
    write_one(&app, CatalogChange::Delete(item_id)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Adds or replaces many items at once, each with its own verdict.
///
/// At most 5,000 items and 1 MiB. What is wrong with an item is told of it and spoils no other; a batch of which nothing is
/// left is refused.
#[utoipa::path(
    post, path = "/v1/items", tag = "catalogue", operation_id = "put_items",
    request_body(description = "One JSON object, or one item per line.", content(
        (ItemBatch = "application/json", example = json!({"items": [
            {"item_id": "85123A", "title": "White hanging heart T-light holder", "category": "Candles", "price": 2.55},
        ]})),
        (String = "application/x-ndjson", example = "{\"item_id\":\"85123A\",\"title\":\"T-light holder\"}\n"),
    )),
    responses(
        (status = 200, description = "What was taken is in the catalogue.", body = CatalogReport),
        BadBody, Conflict, Broken,
    ),
)]
pub(super) async fn batch(app: Data<App>, body: Bytes) -> Result<Json<CatalogReport>, ApiError> {
    let items = in_batch(&body)?;
    if items.is_empty() || items.len() > MAX_BATCH {
        return Err(Problem::new(if items.is_empty() { Kind::Invalid } else { Kind::PayloadTooLarge })
            .detail(format!("the batch has {} items, 1 to {MAX_BATCH} are allowed", items.len()))
            .into());
    }
    let (mut good, mut rejected) = (Vec::new(), Vec::new());
    for (index, fields) in items.into_iter().enumerate() {
        match whole(&app, fields) {
            Ok(item) => good.push((index, item)),
            Err(detail) => rejected.push(Rejection { index, detail }),
        }
    }
    let _locks = app.item_locks.lock(good.iter().map(|(_, item)| &item.item_id)).await;
    let changes = good.iter().map(|(_, item)| CatalogChange::Put(item.clone())).collect();
    let left_out = write(&app, changes).await?;
    let is_left_out = |item: &Item| left_out.contains(&item.item_id);
    let collided = good.iter().filter(|(_, item)| is_left_out(item));
    rejected
        .extend(collided.map(|(index, item)| Rejection { index: *index, detail: collision(&item.item_id) }));
    rejected.sort_by_key(|rejection| rejection.index);
    let accepted = good.iter().filter(|(_, item)| !is_left_out(item)).count();
    match rejected.first() {
        Some(Rejection { index, detail }) if accepted == 0 => {
            Err(invalid(format!("none of the batch can be taken; item {index}: {detail}")))
        }
        _ => Ok(Json(CatalogReport { accepted, rejected })),
    }
}

fn item_id(id: &str) -> Result<ItemId, ApiError> {
    ItemId::try_new(id).map_err(invalid)
}

async fn existing(app: &App, item_id: &ItemId) -> Result<Item, ApiError> {
    let item = app.database.item(item_id).await.map_err(of_database)?;
    item.ok_or_else(|| not_found(format!("item \"{item_id}\" is not in the catalogue")))
}

/// Returns when the change is in the log and in the database.
async fn write_one(app: &App, change: CatalogChange) -> Result<(), ApiError> {
    match write(app, vec![change]).await?.first() {
        None => Ok(()),
        Some(item_id) => Err(Problem::new(Kind::Conflict).detail(collision(item_id)).into()),
    }
}

fn collision(item_id: &ItemId) -> String {
    format!("item \"{item_id}\" has the same 64-bit key as another item; choose another id")
}

/// Returns when the changes are in the log and in the database, with the items that had to be left out because their
/// keys are other items'.
async fn write(app: &App, changes: Vec<CatalogChange>) -> Result<Vec<ItemId>, ApiError> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let puts = changes.iter().filter_map(|change| match change {
        CatalogChange::Put(item) => Some(item.item_id.clone()),
        CatalogChange::Delete(_) => None,
    });
    let written: Vec<ItemId> = puts.collect();
    app.ingest.change_catalog(changes).await.map_err(of_role)?;
    app.projector.caught_up(PROJECTION).await.map_err(|e| {
        // The change is safe in the log; only its arrival in the database is late.
        ApiError::from(
            Problem::new(Kind::NotReady)
                .retry_after_s(2)
                .detail("the change is accepted, its projection is late")
                .cause(e),
        )
    })?;
    // The projector leaves out an item whose key is another item's, and nothing else.
    let found = app.database.items(&written).await.map_err(of_database)?;
    Ok(written
        .into_iter()
        .zip(found)
        .filter(|(_, item)| item.is_none())
        .map(|(item_id, _)| item_id)
        .collect())
}

/// The items of a batch, as they are written.
fn in_batch(body: &[u8]) -> Result<Vec<Map<String, Value>>, ApiError> {
    let values = serde_json::Deserializer::from_slice(body).into_iter();
    let mut lines: Vec<Map<String, Value>> = values
        .collect::<Result<_, _>>()
        .map_err(|error| invalid(format!("neither {{\"items\":[…]}} nor one item per line: {error}")))?;
    match &mut lines[..] {
        [batch] if batch.contains_key("items") => {
            let batch = Value::Object(std::mem::take(batch));
            serde_json::from_value(batch).map(|ItemBatch { items }| items).map_err(invalid)
        }
        _ => Ok(lines),
    }
}

/// An item of a batch.
fn whole(app: &App, mut fields: Map<String, Value>) -> Result<Item, String> {
    let Some(Value::String(id)) = fields.remove("item_id") else {
        return Err("item_id is missing, or not a string".to_owned());
    };
    let item_id = ItemId::try_new(id).map_err(|error| error.to_string())?;
    let body: ItemBody = serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())?;
    let item = replaced(item_id, body)?;
    app.catalog.check(&item.properties).map_err(|misfit| misfit.to_string())?;
    Ok(item)
}

fn replaced(item_id: ItemId, body: ItemBody) -> Result<Item, String> {
    let ItemBody {
        title,
        category,
        brand,
        price,
        currency,
        description,
        image_url,
        available_from,
        available_until,
        hidden,
        in_stock,
        properties,
    } = body;
    let title = title.ok_or("title is missing")?;
    let item = Item {
        item_id,
        title,
        category,
        brand,
        price,
        currency,
        description,
        image_url,
        available_from,
        available_until,
        hidden: hidden.unwrap_or(false),
        in_stock: in_stock.unwrap_or(true),
        properties: properties.unwrap_or_default(),
    };
    item.check().map_err(|error| error.to_string())?;
    Ok(item)
}

/// The item with a merge patch applied: what is absent stays, what is null gets its default.
fn patched(item: &Item, patch: Map<String, Value>) -> Result<Item, ApiError> {
    let mut merged = serde_json::to_value(item).expect("an item serialises into memory");
    merge(&mut merged, Value::Object(patch));
    let fields = merged.as_object_mut().expect("an object merged with an object is one");
    // The id is the path's; `ItemBody` refuses it and every other unknown name.
    if fields.remove("item_id") != Some(Value::String(item.item_id.to_string())) {
        return Err(invalid("item_id cannot be changed"));
    }
    let body: ItemBody = serde_json::from_value(merged).map_err(|e| invalid(format!("the patch: {e}")))?;
    replaced(item.item_id.clone(), body).map_err(invalid)
}

/// `MergePatch` of RFC 7396.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(&name);
        } else {
            merge(fields.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests;
