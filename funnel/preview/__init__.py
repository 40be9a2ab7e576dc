"""Content before anybody gets it: examined, and shown."""
