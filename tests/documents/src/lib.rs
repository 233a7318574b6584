//! What the documents say must be so. The tests of this crate compare pages, examples and the schema of `node.yaml`
//! with the code; the library holds what they share.

pub mod page;
pub mod schema;
