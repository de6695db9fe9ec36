"""The oracle: torch's own operator database (OpInfo) run against gradcore. See `python -m tests.oracle --help`."""
