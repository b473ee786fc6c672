"""Pure decisions: no file, clock, process or chance is touched here; they are arguments."""
