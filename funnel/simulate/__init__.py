"""A whole cohort of invented people, run through the real code with a clock that jumps."""
