"""A study's directory: the only room that writes and reads result files, and the two tables made of them."""
