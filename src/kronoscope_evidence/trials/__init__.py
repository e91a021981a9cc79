"""Studies with a known truth behind each number: which method or metric can be trusted for what."""
