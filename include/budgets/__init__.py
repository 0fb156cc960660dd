"""Who keeps the count of budgets: tokens are reserved before a request and settled after it, so that nothing is overspent."""
