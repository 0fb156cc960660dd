"""What a deploy is given: a folder with the model, its signature or facts, and inputs whose right answers are known."""
