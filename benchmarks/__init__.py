"""Measurements of speed against other libraries. Not part of the package; see README.md here."""
