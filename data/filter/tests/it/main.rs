//! Texts that nobody would write.

#[cfg(test)]
mod properties;
#[cfg(test)]
mod strategies;
