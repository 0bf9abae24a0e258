"""The edge of HTTP: what Paydue and the proxies before it believe a request to be, and limits."""
