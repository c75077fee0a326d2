//! The events that the shop itself sends: what happens in a form has been understood by the server, with or without
//! scripts. Views, clicks, impressions and dismissals come from the browser (`assets/events.js`).

use waggle_model::{Item, wire::WireEvent};

use crate::{
    basket::Line,
    visitor::{Order, Visitor, random_id},
};

/// Something was put into the basket.
pub(crate) fn cart(visitor: &Visitor, item: &Item, quantity: u32, from: Option<&(String, u32)>) -> WireEvent {
    WireEvent {
        event_id: Some(format!("shop-cart-{}", random_id())),
        quantity: Some(f64::from(quantity)),
        ..about("cart", visitor, item, from)
    }
}

/// One line of an order. The id follows from order and item, so that sending an order twice counts it once.
pub(crate) fn purchase(visitor: &Visitor, order_id: &str, line: &Line, item: &Item) -> WireEvent {
    WireEvent {
        event_id: Some(format!("shop-buy-{order_id}-{:016x}", item.item_id.key().0)),
        quantity: Some(f64::from(line.quantity)),
        order_id: Some(order_id.to_owned()),
        ..about("purchase", visitor, item, line.from.as_ref())
    }
}

/// One line of an order that was taken back.
pub(crate) fn cancellation(visitor: &Visitor, order: &Order, line: &Line, item: &Item) -> WireEvent {
    WireEvent {
        event_id: Some(format!("shop-cancel-{}-{:016x}", order.order_id, item.item_id.key().0)),
        quantity: Some(f64::from(line.quantity)),
        order_id: Some(order.order_id.clone()),
        ..about("purchase_cancelled", visitor, item, None)
    }
}

fn about(kind: &str, visitor: &Visitor, item: &Item, from: Option<&(String, u32)>) -> WireEvent {
    WireEvent {
        r#type: kind.to_owned(),
        user_id: visitor.user_id.clone(),
        session_id: Some(visitor.session_id.clone()),
        item_id: Some(item.item_id.as_str().to_owned()),
        price: item.price,
        currency: item.price.and(item.currency.clone()),
        answer_id: from.map(|(answer, _)| answer.clone()),
        position: from.map(|(_, position)| *position),
        ..WireEvent::default()
    }
}
