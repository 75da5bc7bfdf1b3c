"""Building blocks that approaches share, each documented and tested on its own."""
