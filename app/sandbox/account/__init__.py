"""The state of one Stripe account: its objects, its events, its clock and its true ledger.

It knows no HTTP and imports no other part of the sandbox. Begin with `account_state`: every
change of an object goes through `AccountState.change`, every event through `emit`.
"""
