//! What tests stand on.

pub(crate) mod kafka;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod redis;
pub(crate) mod s3;
