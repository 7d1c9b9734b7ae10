"""Executors: who performs the jobs of a study, where, and who is to blame for one that fails."""
