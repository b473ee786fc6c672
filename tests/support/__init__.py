"""What the tests share: a directory in memory, faults, worlds, checkers."""
