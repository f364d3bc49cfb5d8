"""The service: requests run in another process, on this machine or a remote one, and nothing is lost."""
