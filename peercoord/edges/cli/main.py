"""The name by which the `coordinate.sh` of a team set up by version 0.1.0 finds the command line."""

from peercoord.cli.main import coordinate as coordinate
