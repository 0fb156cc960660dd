"""How a budget holds under many streams at once."""
