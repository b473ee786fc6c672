"""The page in a browser, and the report in one file."""
