"""A quiz that leads to a timed email course. DESIGN of the rooms: see the map of the house in README.md."""
