"""Files that `bench new` begins a plugin with."""
