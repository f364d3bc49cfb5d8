"""Text2CT: synthetic chest CT from a report, and lesions painted into a real one.

Nothing heavy is imported here: `import text2ct` costs milliseconds and needs numpy
only when a name of it is used.
"""

__version__ = "0.1.0"
