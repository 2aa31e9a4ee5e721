"""Stores: where outcomes are kept. `sqlite` is the embedded default; `memory` forgets at exit and is for tests."""
