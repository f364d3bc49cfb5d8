"""The engine that measures a CT against its report."""
