"""The demo: a control on exact ground truth, and weather."""
