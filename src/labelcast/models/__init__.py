"""Models: loading, prompts, answers, gradients, likelihoods, embeddings."""
