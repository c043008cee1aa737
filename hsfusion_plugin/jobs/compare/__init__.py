"""hsfusion:compare: methods ranked on the user's own pair by Wald's protocol."""
