"""What wakes people: objectives, rules, tests, runbooks. It knows the service by the names of its metrics alone."""
