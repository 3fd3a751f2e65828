"""How good the defaults are beside simple baselines: `python -m benchmarks.quality`."""
