"""How cost grows with what there is more of. `python -m benchmarks.growth` measures, draws and writes the page."""
