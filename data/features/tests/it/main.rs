//! The fold over a simulated market.

#[cfg(test)]
mod click_farm;
