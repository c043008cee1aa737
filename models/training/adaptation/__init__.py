"""Fine-tuning of a model on one pair."""
