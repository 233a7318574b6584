//! YAML with a source position for every value, bounded against hostile input
