"""What is released: files that others can use, and the list of them."""
