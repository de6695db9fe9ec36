"""The tests; a package, so that `tests.oracle` means this folder and no other `tests` on the path."""
