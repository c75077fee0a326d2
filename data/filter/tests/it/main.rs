//! The language as its users meet it: the documentation's examples, and texts that nobody would write.

#[cfg(test)]
mod documentation;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod strategies;
