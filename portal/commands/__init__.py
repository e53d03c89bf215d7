"""What the command line does; each command imports the application only when it runs."""
