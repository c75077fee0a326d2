//! A basket, and the cookie that holds it: it works without scripts and survives a restart of the shop.

use crate::text;

/// Most different things in a basket; with ids of usual length the cookie stays below the 4 KB that browsers keep.
pub(crate) const MAX_LINES: usize = 24;
/// Most pieces of one thing.
pub(crate) const MAX_QUANTITY: u32 = 999;
const MAX_COOKIE_BYTES: usize = 3500;

/// What a visitor means to buy, in the order of adding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Basket {
    pub lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub item_id: String,
    pub quantity: u32,
    /// The answer that led here and the place in it, so that the purchase is credited to it.
    pub from: Option<(String, u32)>,
}

impl Basket {
    /// Adds pieces of a thing; false when the basket has no room for it.
    pub(crate) fn add(&mut self, item_id: &str, quantity: u32, from: Option<(String, u32)>) -> bool {
        if let Some(line) = self.lines.iter_mut().find(|line| line.item_id == item_id) {
            line.quantity = line.quantity.saturating_add(quantity).min(MAX_QUANTITY);
            line.from = from.or(line.from.take());
            return true;
        }
        let mut grown = self.clone();
        grown.lines.push(Line { item_id: item_id.to_owned(), quantity: quantity.min(MAX_QUANTITY), from });
        let fits = grown.lines.len() <= MAX_LINES && grown.to_cookie().len() <= MAX_COOKIE_BYTES;
        if fits {
            *self = grown;
        }
        fits
    }

    /// Sets the pieces of a thing that is in the basket; 0 takes it out.
    pub(crate) fn set(&mut self, item_id: &str, quantity: u32) {
        if quantity == 0 {
            self.lines.retain(|line| line.item_id != item_id);
        } else if let Some(line) = self.lines.iter_mut().find(|line| line.item_id == item_id) {
            line.quantity = quantity.min(MAX_QUANTITY);
        }
    }

    pub(crate) fn n_pieces(&self) -> u32 {
        self.lines.iter().map(|line| line.quantity).sum()
    }

    pub(crate) fn item_ids(&self) -> Vec<String> {
        self.lines.iter().map(|line| line.item_id.clone()).collect()
    }

    /// `id*quantity[*answer*position]`, joined by `!`; ids are percent-encoded, so neither sign occurs in them.
    pub(crate) fn to_cookie(&self) -> String {
        let lines: Vec<String> = self
            .lines
            .iter()
            .map(|line| {
                let mut text = format!("{}*{}", text::encode(&line.item_id), line.quantity);
                if let Some((answer, position)) = &line.from {
                    text.push_str(&format!("*{}*{position}", text::encode(answer)));
                }
                text
            })
            .collect();
        lines.join("!")
    }

    /// Lines that cannot be read are left out: a damaged cookie costs a line, never the page.
    pub(crate) fn from_cookie(cookie: &str) -> Self {
        let mut basket = Self::default();
        for line in cookie.split('!').filter_map(read_line) {
            basket.add(&line.item_id, line.quantity, line.from);
        }
        basket
    }
}

fn read_line(text: &str) -> Option<Line> {
    let mut parts = text.split('*');
    let item_id = text::decode(parts.next()?).filter(|id| !id.is_empty())?;
    let quantity = parts.next()?.parse().ok().filter(|quantity| (1..=MAX_QUANTITY).contains(quantity))?;
    let from = match (parts.next(), parts.next()) {
        (Some(answer), Some(position)) => {
            Some((text::decode(answer)?, position.parse().ok().filter(|position| *position > 0)?))
        }
        _ => None,
    };
    Some(Line { item_id, quantity, from })
}
