"""What is to be learned: tasks, prompts, sources of examples, generated tasks."""
