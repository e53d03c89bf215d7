"""Business modules; portal.app names the installed ones."""
