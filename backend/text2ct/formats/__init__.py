"""Files of CTs and labels: one module a format, `files` chooses between them."""
