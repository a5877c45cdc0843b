"""What a user types: one module for each command, with the function that it is in Python."""
