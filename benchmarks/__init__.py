"""Benchmarks on a real local Flink: `make bench`."""
