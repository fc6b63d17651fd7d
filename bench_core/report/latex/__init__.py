"""Tables and numbers for papers: LaTeX that fits a page and compiles whatever the names in it."""
