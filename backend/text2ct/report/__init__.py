"""What a report says, and whether a CT shows it."""
