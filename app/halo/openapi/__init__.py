"""OpenAPI: the document, made from the routes and the Resources, and the page that shows it.

May import the engine, access and the Resources. Begin with `document`; `operations` describe the
routes, `invoice_actions` those of the actions, `schemas` the records. Texts of properties and
parameters stand in the Resources and filters themselves.
"""
