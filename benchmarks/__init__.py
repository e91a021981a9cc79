"""Benchmarks: figures and ratios measured in one run, printed by ``python -m benchmarks [NAME ...]``."""
