"""What a person decides about the memory bank."""
