//! YAML with a source position for every value, bounded against hostile input.
//!
//! Three layers, each usable alone:
//!
//! - [`parse`] turns a [`Source`] into a tree of [`Node`]s. Every node knows where it stands. What makes YAML
//!   dangerous or surprising is refused: anchors and aliases, tags, several documents, duplicate keys, deep nesting,
//!   huge files.
//! - [`Diagnostic`] is one error or warning, shown with file, line, column and the line itself.
//! - [`Reader`] walks the tree, asks for typed values and collects everything that is wrong, not only the first.
//!
//! Nothing here guesses types: a scalar is text until somebody asks for a number, a truth value or a duration.
//!
//! ```
//! use fseg_yaml::{Limits, Reader, Source};
//!
//! let source = Source::new("node.yaml", "listen: 127.0.0.1:6653\nidle: 12h\n");
//! let reader = Reader::new(&source);
//! if let Some(root) = reader.parse(Limits::default())
//!     && let Some(mut map) = reader.value(&root).as_map()
//! {
//!     let listen = map.required("listen").and_then(|v| v.parse::<std::net::SocketAddr>());
//!     let idle = map.optional("idle").and_then(|v| v.as_duration());
//!     map.finish(); // reports the keys nobody asked for
//!     assert_eq!(listen.map(|a| a.port()), Some(6653));
//!     assert_eq!(idle.map(|d| d.as_secs()), Some(12 * 3600));
//! }
//! assert!(reader.into_diagnostics().is_empty());
//! ```

mod diagnostic;
mod duration;
mod node;
mod parse;
mod reader;
mod source;
mod suggest;

pub use diagnostic::{Diagnostic, Severity, quote};
pub use duration::{DurationError, parse_duration};
pub use node::{Key, Kind, Node};
pub use parse::{Limits, parse};
pub use reader::{Entry, MAX_DIAGNOSTICS, MapReader, Reader, Value};
pub use source::{Source, Span};
pub use suggest::did_you_mean;
