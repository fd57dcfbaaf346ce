"""HTTP, signalling, the page, protocol adapters, limits, metrics."""
