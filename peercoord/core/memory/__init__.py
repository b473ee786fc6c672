"""The memory bank: documents as sections, what peers contribute to them, and the merge as a pure function.

Nothing here reads or writes a file, and the one outside program (the three-way text merge) is passed in.
"""
