"""The command line: thin commands over the roles, plain text and ``--json``."""
