"""Training: runs become populations of stacked parameters, which step, are probed and can be interrupted."""
