"""The only I/O: files, processes, mutexes, events and clocks, each behind one door."""
