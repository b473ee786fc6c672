"""The production code under a seeded, deterministic simulator: one process, many peers, every file operation a choice.

``baton``     threads that run strictly one at a time, and simulated time
``sea``       the filesystem: the truth, and what each client sees of it
``laws``      what must hold at every step, and at rest
``lives``     what peers and people do
``world``     a seed made into a situation, and run
``mutants``   rules of the protocol, broken one at a time
"""
