"""YAML text to a validated Spec: source positions, diagnostics, JSON Schema."""
