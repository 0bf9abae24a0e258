"""The console: pages on which support and finance look at payments all day.

May import everything below it. Begin with `console_routes`, the console on one page; `routing` is
what every page stands behind, `people` who may come in, `rendering` how a page becomes HTML.
"""
