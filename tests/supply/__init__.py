"""The supply chain of the image: locked versions, known advisories, bill of materials, digests."""
