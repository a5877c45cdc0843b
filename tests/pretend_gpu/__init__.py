"""A pretend GPU, and what is trained on it; docs/pretend_gpu.md says what that proves."""
