"""Looks for what is allowed and still wrong: every finding has a code, a place, a reason and a way to silence it."""
