"""How much labels teach: an oracle labels a planted world, as a person would in the page."""
