"""Which examples to label."""
