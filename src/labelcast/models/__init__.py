"""The language model: loading, encoding, generation, gradients."""
