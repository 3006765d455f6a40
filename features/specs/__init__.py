"""The specs that ship."""
