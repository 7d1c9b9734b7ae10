"""What a study shows: verdicts for runs, statistics over seeds, a ranking of variants and findings in words."""
