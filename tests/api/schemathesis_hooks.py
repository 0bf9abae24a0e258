"""What schemathesis must know to make values of our formats. Loaded by its own process."""

import schemathesis
from hypothesis import strategies as st

moments = st.datetimes().filter(lambda one: one.year >= 1900)

schemathesis.openapi.format("date-time-local", moments.map(lambda one: one.isoformat()))
