"""Labels by people: which rows they are asked about, what Label Studio is told of them, and what comes back."""
