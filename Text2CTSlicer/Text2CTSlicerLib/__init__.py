"""The parts of the Slicer module, one file a concern.

At file scope these files import only what Slicer brings, and nothing of text2ct:
an extension whose import fails does not exist for the user.
"""
