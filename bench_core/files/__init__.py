"""Files and names of others, read within bounds; what time a file system has."""
