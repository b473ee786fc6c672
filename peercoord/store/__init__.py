"""The coordination directory on disk: paths, ids, records, files, settings."""
