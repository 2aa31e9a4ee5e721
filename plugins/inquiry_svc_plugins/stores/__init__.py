"""Stores: where outcomes are kept. `sqlite` by default, `postgres` for several machines, `memory` for tests."""
