//! What the classic servers of this family get wrong: each hole closed, by a test that is named after it.
