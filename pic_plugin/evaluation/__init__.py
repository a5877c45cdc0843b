"""How good features are: nearest neighbours and probes."""
