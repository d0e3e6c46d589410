"""Tasks, their sources of examples, prompts, metrics, and generated tasks."""
