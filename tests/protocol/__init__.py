"""The protocol as a document, held equal to the code."""
