"""What is declared and configured instead of coded: imports, and later fields, objects, layouts and reports."""
