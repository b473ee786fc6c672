"""This machine: clocks, processes, watching, system calls, git."""
