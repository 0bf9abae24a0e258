"""The published tables of HaloPSA's invoice API, and for each of their rows a check."""
