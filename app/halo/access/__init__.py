"""Access to the API: credentials, the tokens issued for them, and the check of each request.

May import storage and errors, and of halo the engine's parsers and responses for `tokens`. Begin
with `authenticator`, which every request passes; `api_credentials` makes, revokes and issues;
`tokens` are the two endpoints that a client calls before it has a token.
"""
