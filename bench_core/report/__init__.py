"""Analysis to HTML, Markdown, LaTeX and CSV."""
