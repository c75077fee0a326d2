//! The public API over real roles and real stores, by HTTP.
#![cfg(test)]

mod cache;
mod document;
mod explanations;
mod faults;
mod items;
mod ladder;
mod people;
mod recommendations;
mod rules;
mod search;
mod swaps;
mod world;
