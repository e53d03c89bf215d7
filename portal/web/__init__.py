"""Pages and REST API: everything a person or a program sees, derived from the models."""
