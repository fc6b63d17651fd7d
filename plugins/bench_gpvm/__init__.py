"""General-purpose vision models (GP-VMs)."""
