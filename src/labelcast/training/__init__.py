"""Fine-tuning: recipes, training, evaluation and splits."""
