"""A black-box suite: it drives a peer by its commands and judges the coordination directory, with no code of ours."""
