"""What a user types: each module is one command, and the function of the same name."""
