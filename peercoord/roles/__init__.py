"""What a peer does: it belongs, works, repairs, leads. Sequences of file operations, each safe to break off."""
