//! The fold over a real log and real state, the archive over real files.

#[cfg(test)]
mod archive;
#[cfg(test)]
mod fold;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod poison;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod services;
#[cfg(test)]
mod support;
