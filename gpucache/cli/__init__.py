"""The command line: one verb a file; stdout is the result, stderr what happens on the way."""
