"""A job file carried out."""
