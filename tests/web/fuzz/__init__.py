"""Requests that nobody would think of. tests/web/test_fuzz.py sends some, `make fuzz` sends them for ten minutes to a
web process that has a worker beside it."""
