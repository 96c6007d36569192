"""The parts of `bench/run`: Python's standard library only, Linux only (it reads /proc)."""
