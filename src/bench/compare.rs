//! `krs bench compare`: two reports side by side. It shows what differs, and judges nothing.

use std::path::Path;

use crate::Result;

pub(super) fn run(_a: &Path, _b: &Path) -> Result<String> {
    Ok(String::new())
}
