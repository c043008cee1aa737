"""The scene one scale down (Wald's protocol): examples with a known answer."""
