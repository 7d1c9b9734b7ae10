"""Metrics of generated samples: pure functions of `real` [n, d] and `fake` [..., m, d], batched over leading axes."""
