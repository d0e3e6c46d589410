"""Measured curves: fine-tune a model on a budget of labels and score it on a fixed test set."""
