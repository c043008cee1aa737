"""hsfusion:adapt: a model fine-tuned on the user's own pair."""
