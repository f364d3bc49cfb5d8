"""Meters: pure functions that turn a chest and one finding of a report into a number and an answer."""
