//! What the tests of this crate stand on.

pub(crate) mod gateway;
pub(crate) mod signing;
mod tables;
mod world;

pub(crate) use tables::Table;
pub(crate) use world::World;
