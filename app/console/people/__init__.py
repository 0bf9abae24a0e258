"""People who use the console: who they are, how they sign in, and what their role lets them do.

Begin with `roles` and `sessions`, which every page asks; `sign_in_pages` is the front door.
"""
