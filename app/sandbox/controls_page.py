"""The sandbox's front page: its controls on one sheet."""

CONTROLS_PAGE = """\
Paydue sandbox: a stateful stand-in for Stripe's API, for tests and demos. No money moves.

API       /v1/...   any key sk_test_...; form-encoded, as Stripe's SDKs send it

Controls  /_sandbox/...   JSON in, JSON out
  GET    status                  counts, 429s, undelivered events
  GET    ledger                  successful charges, double charges, net by invoice and
                                  by intent, every movement of the balance
  GET    events                  every Event object, oldest first; ?after=N skips the first N
  GET    requests                the log of API requests
  GET    deliveries              the log of webhook attempts
  POST   customers               {"id", "payment_method", "behaviour": [...], "default", "email"}
  POST   payment_methods         {"payment_method", "customer", "behaviour": [...],
                                  "payment_method_type", "mandate", "refund", "is_verified"}
  POST   endpoints               {"url", "secrets": [...], "mode": "auto" or "held",
                                  "rendering": "new", "old" or "thin", "types": [...],
                                  "account", "context", "livemode"}
  POST   endpoints/{id}/ping     a thin v2.core.event_destination.ping
  POST   faults                  {"match": "POST /v1/payment_intents/{id}/confirm",
                                  "kind": "drop", "hang", "truncate", "status", "html200",
                                  "rate_limit", "lock_timeout", "conflict", "unauthorized",
                                  "missing" (404, or 400 about a "param"),
                                  "answer" (200 with any "body") or "rewrite" ("fields" into the
                                  object "of" an id, or into the first one),
                                  "when": "before" or "after", "times", "nth", "probability",
                                  "seed", "seconds", "status", "should_retry"}
  DELETE faults
  POST   objects/{id}            {field: value, ...}: overwrites a stored object, without an event
  POST   settings                {"latency", "rate_limit", "retry_seconds",
                                  "bank_debit_delay", "refund_delay", "availability_delay",
                                  "payout_delay"}
  POST   clock                   {"advance": seconds} or {"set": epoch seconds}
  POST   settle
  POST   deliver                 {"seed", "copies", "drop", "concurrency", "everything",
                                  "until_delivered"}
  POST   drained                 answers once every auto endpoint has got everything
  POST   events/{id}/resend      even after a 2xx
  POST   events/{id}/duplicate   a second Event object for the same change; {"account",
                                  "context", "livemode"} say where it is from
  POST   disputes                {"payment_intent" or "charge", "amount", "status", "reason"}
  POST   disputes/{id}/close     {"status": "won", "lost" or "warning_closed"}
  POST   refunds                 {"payment_intent" or "charge", "amount",
                                  "outcome": "succeeded", "pending", "pending_fails",
                                  "pending_canceled", "fails" or "requires_action"}
  POST   checkout/{id}/complete  {"payment_method": "pm_card_visa", "is_verified", "email",
                                  "delays_intent"}
  POST   actions/{id}/complete   {"succeeded": true}: the customer is back from 3-D Secure
  POST   bank/pay_voucher        {"payment_intent"}; bank/expire_voucher, bank/expire_hold
                                  likewise
  POST   bank/transfer           {"customer", "amount", "currency"}: a bank transfer has come
  POST   bank/pay_session        {"session"}: the money of a session without a PaymentIntent
  POST   bank/answer_debit       {"payment_intent", "failure"}
  POST   bank/end_refund         {"refund", "status": "succeeded", "failed" or "canceled"}
  POST   bank/escalate_inquiry   {"dispute"}
  POST   bank/warn_of_fraud      {"charge", "fraud_type"}
  POST   bank/pay_out            {"currency"}: everything that is available
  POST   bank/end_payout         {"payout", "status": "paid" or "failed", "failure_code"}
  POST   strangers/pay_link      {"payment_link", "client_reference_id", "payment_method", "email"}
  POST   strangers/pay           {"amount", "currency", "customer", "metadata", "payment_method"}
  POST   strangers/open_intent   the same without the method; strangers/finish_intent
                                  {"payment_intent", "payment_method"}
"""
