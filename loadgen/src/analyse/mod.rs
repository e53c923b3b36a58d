//! What is made of outcomes: whether assertions hold, how two of them differ, what several add up to, and the highest
//! rate that a server bears.

pub mod assert;
pub mod capacity;
pub mod compare;
pub mod merge;
pub mod sweep;
