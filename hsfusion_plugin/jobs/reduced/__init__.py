"""The scene at reduced resolution (Wald's protocol), and the guard that judges by it."""
