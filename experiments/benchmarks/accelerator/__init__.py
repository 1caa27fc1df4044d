"""What one GPU does: `python -m experiments.benchmarks.accelerator --out=DIR`."""
