"""Features of many images: read in order, computed in parts, written for others to read."""
