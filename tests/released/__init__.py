"""Databases as versions of Paydue left them, and the test that migrates them both ways.

Each file is a whole database, schema and rows, named by its revision and its engine. That version's
own code wrote it: `python -m tests.released FOLDER` plays some days of a small company on both
engines. At a release it is run once more, and the two new files are added to `tests/released/data`.
"""
