//! The runtime with the real runner, real tools and the routes over real sockets. Who may read what is
//! decided behind the routes and tested there.

mod attempts;
mod bench;
mod memory;
mod routes;
