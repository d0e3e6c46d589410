"""Fine-tuning: recipes, backends, evaluation and splits."""
