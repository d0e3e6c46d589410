"""Which examples to label or to train on: one method a module, behind `selector.Selector`."""
