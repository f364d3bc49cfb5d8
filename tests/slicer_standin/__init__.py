"""A stand-in of a running 3D Slicer, for tests alone: the real MRML, and PySide6 dressed up as PythonQt.

See README.md here for what it imitates, from which facts, and where it is only a model.
"""
