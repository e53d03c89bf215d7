"""The main jobs of each kind of person, in a real browser at a real portal process with the sample company."""
