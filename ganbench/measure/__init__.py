"""Which numbers a study records at a probe: metrics of samples, diagnostics of the game."""
