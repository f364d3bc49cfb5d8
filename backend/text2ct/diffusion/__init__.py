"""The mathematics of sampling as pure functions: grids, noising, solvers, guidance. No network, no device, no torch."""
