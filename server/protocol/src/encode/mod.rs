//! What a node says, in each dialect.

pub mod bare;
pub mod checked;
pub mod classic;
pub mod framed;
