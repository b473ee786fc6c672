"""Task lists of other programs: imported, kept in step, exported."""
