"""Checkpoints of this plugin and of others: read without running code, renamed, written whole."""
