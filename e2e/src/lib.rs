//! Tests of the whole: real `opencloud` processes, driven through their public API and command line only.
//! The library is empty; everything is in `tests/it`.
