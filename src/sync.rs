//! Locks that outlive a panic.

use std::sync::{Mutex, MutexGuard, PoisonError};
#[cfg(feature = "devbroker")]
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Locks, also after another thread panicked while it held the lock: every critical section of this crate leaves its
/// data whole at each step, and a delivery callback's panic must not take the client's other threads with it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for reading, also after a panic; see [`lock`].
#[cfg(feature = "devbroker")]
pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for writing, also after a panic; see [`lock`].
#[cfg(feature = "devbroker")]
pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
