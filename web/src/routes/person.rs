//! Who the visitor shops as, and what the system knows of them.

use std::collections::HashMap;

use actix_web::{
    Either, HttpRequest, HttpResponse,
    http::StatusCode,
    web::{self, Data, Form},
};
use askama::Template as _;
use waggle_model::{Timestamp, UserId};

use super::{Visit, way_back};
use crate::{
    Shop,
    api::ApiError,
    pages::{self, ShopAs, redirect, respond},
    panel::Knows,
};

type Fields = Either<Form<HashMap<String, String>>, web::Bytes>;

/// `GET /knows`: the panel's part about the person by itself.
pub(super) async fn knows(request: HttpRequest, shop: Data<Shop>) -> HttpResponse {
    let visit = Visit::begin(&request, &shop);
    let knows = match shop.api().profile(visit.visitor.who()).await {
        Ok(profile) => Knows::of(&profile, Timestamp::now()),
        Err(ApiError::NotFound) => Knows::nothing("Nothing yet. Look at something and come back."),
        Err(error) => {
            super::log(&error);
            Knows::nothing("The system is not answering just now.")
        }
    };
    let status = if knows.trouble.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    pages::html(status, knows.render().unwrap_or_default())
}

/// `POST /panel`: remembers whether the panel is open.
pub(super) async fn panel(request: HttpRequest, shop: Data<Shop>, form: Fields) -> HttpResponse {
    let mut visit = Visit::begin(&request, &shop);
    let fields = fields(form);
    visit.visitor.is_panel_open = fields.get("open").is_some_and(|open| open == "1");
    redirect(&back(&fields), [visit.visitor.panel_cookie()])
}

pub(super) async fn choose(request: HttpRequest, shop: Data<Shop>) -> HttpResponse {
    let visit = Visit::begin(&request, &shop);
    let back = way_back(visit.param("back"));
    respond(StatusCode::OK, &ShopAs { shell: visit.shell().await.0, back }, &visit.visitor)
}

/// `POST /shop-as`: an empty or unusable id is a stranger. A change of person empties basket and session.
pub(super) async fn become_person(request: HttpRequest, shop: Data<Shop>, form: Fields) -> HttpResponse {
    let mut visit = Visit::begin(&request, &shop);
    let fields = fields(form);
    let user_id = fields.get("user").map(|id| id.trim()).and_then(|id| UserId::try_new(id).ok());
    visit.visitor.become_person(user_id.map(|id| id.as_str().to_owned()));
    let visitor = &visit.visitor;
    let back = back(&fields);
    // A basket or an order belongs to whom one was.
    let is_of_before = ["/basket", "/checkout", "/thanks"].iter().any(|page| back.starts_with(page));
    redirect(
        if is_of_before { "/" } else { &back },
        [visitor.user_cookie(), visitor.session_cookie(), visitor.basket_cookie(), visitor.order_cookie()],
    )
}

fn fields(form: Fields) -> HashMap<String, String> {
    match form {
        Either::Left(Form(fields)) => fields,
        Either::Right(_) => HashMap::new(),
    }
}

fn back(fields: &HashMap<String, String>) -> String {
    way_back(fields.get("back").map_or("/", String::as_str))
}
