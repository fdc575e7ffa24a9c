//! The whole, as its users see it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod agreeing;
mod climbing;
mod commands;
mod cutting;
mod demo;
mod disputing;
mod downloading;
mod explaining;
mod grpc;
mod interrupting;
mod joining;
mod keeping;
mod lasting;
mod leaving;
mod lodging;
mod mains;
mod naming;
mod outage;
mod owning;
mod partitions;
mod programs;
mod refusing;
mod restoring;
mod running;
mod scene;
mod setting_up;
mod sites;
mod starting;
mod strangers;
mod terminal;
mod thirds;
mod typing;
mod under_fire;
mod uploading;
mod walking;
