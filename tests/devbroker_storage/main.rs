//! What the development broker keeps in its data directory: over a stop, over a kill, and when the disk is full.
#![cfg(all(feature = "services", feature = "devbroker"))]

mod damage;
mod kept;
mod refused;
mod support;
