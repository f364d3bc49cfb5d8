"""A chest drawn by rules from what a report says, with exact labels."""
