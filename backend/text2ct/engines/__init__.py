"""Engines: code that turns a request into a result, and the catalog of them."""
