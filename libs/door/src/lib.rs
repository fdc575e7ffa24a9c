//! The side of the door that a service sees.
