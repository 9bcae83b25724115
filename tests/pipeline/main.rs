//! `brimful run` through the built command: what it writes, what it says, and how it goes on after it was stopped.

mod files;
mod joins;
mod mistakes;
mod outputs;
mod resuming;
mod running;
mod slips;
mod steps;
